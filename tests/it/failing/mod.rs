//! What a task type says of its failures: how long it waits, how long an attempt takes, and when it is given up.

mod backoff;
mod give_up;
mod on_discard;
mod shared;
mod snoozes;
mod timeout;

//! What a task type says of its failures: how long it waits, how long an attempt takes, and when it is given up.

mod backoff;
mod timeout;

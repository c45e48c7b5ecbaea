//! A signup that sends a welcome mail, as programs write it that know nothing of taskq but its SQL.
//!
//! The guide quotes these files, and those in `programs`; a test compares the two.

pub mod with_diesel;
pub mod with_tokio_postgres;

//! Runs the examples as users do, on a database of their own, and looks at what they do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod features;
mod morning;
mod program;
mod signup;
mod stories;

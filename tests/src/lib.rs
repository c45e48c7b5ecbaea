//! What the fault tests are made of: tasks that record what happens to them, the history that they
//! leave outside of the system, and the checker that reads it. And what the two releases of a program
//! share.

#![cfg_attr(doctest, doc = include_str!("../../README.md"))]

pub mod check;
pub mod history;
pub mod proxy;
pub mod release;
pub mod tasks;

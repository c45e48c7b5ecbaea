//! The lock file: the task types of a program and the forms of their payloads, kept under version
//! control. By comparing with it, `tasks --check` finds a change that would strand rows.
//!
//! A row is *stranded* when the program that comes next cannot run it. The program before has enqueued
//! such a row, or will, while both are running. All of this is decided from two [`LockFile`]s, without a
//! database; [`payloads`] compares the forms of one payload.

mod change;
mod file;
mod form;
mod payloads;
mod rules;
mod schedules;
#[cfg(test)]
mod tests;

pub(crate) use self::file::LockFile;
pub(crate) use self::rules::Violation;

//! taskq as its users see it: the public API against a real Postgres, a fresh database for each test.

mod check;
mod claim;
mod cli;
mod cluster;
mod enqueue;
mod enqueued;
mod history;
mod lease;
mod listen;
mod migrate;
mod order;
mod outcome;
mod payload;
mod plan;
mod process;
mod release;
mod result;
mod retry;
mod roles;
mod sql;
mod start;
mod stop;
mod support;
mod transaction;
mod typed;
mod unknown;

//! Finds or starts a Postgres server.

mod binaries;
mod cluster;
mod command;
mod folders;
mod server;
mod wheel;

pub use self::cluster::Cluster;

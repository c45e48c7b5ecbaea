//! Finds or starts a Postgres server.

mod binaries;
mod cluster;
mod folders;
mod server;
mod wheel;

pub use self::cluster::Cluster;

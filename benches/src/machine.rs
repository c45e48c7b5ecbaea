//! Where and how it was measured, for the foot of the tables and the chart.

use std::fs;

use anyhow::Result;

use crate::server::Server;

/// Returns a line about the machine, and one about the server's settings.
pub async fn description(server: &Server) -> Result<[String; 2]> {
    let cores = std::thread::available_parallelism()?;
    let machine = format!(
        "{cores} cores{}{}, clients and Postgres {} on one machine",
        processor().map_or(String::new(), |it| format!(" ({it})")),
        memory().map_or(String::new(), |it| format!(", {it} GB of memory")),
        server.setting("server_version").await?,
    );
    let mut settings = Vec::new();
    for name in [
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "shared_buffers",
        "max_wal_size",
        "autovacuum",
    ] {
        settings.push(format!("{name} {}", server.setting(name).await?));
    }
    Ok([machine, settings.join(", ")])
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes: u64 = text
        .lines()
        .find(|line| line.starts_with("MemTotal"))?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()?;
    Some((kilobytes + (1 << 19)) >> 20)
}

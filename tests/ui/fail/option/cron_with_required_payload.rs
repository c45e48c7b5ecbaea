#[taskq::task(cron = "0 3 * * mon-fri")]
async fn purge(
    older_than_days: u32,
    #[serde(default)] limit: u32,
    queue: Option<String>,
) {
    let _ = (older_than_days, limit, queue);
}

fn main() {}

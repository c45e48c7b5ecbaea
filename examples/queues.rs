//! Several queues in one worker, each with its own concurrency: slow exports never hold up mails.
//!
//! ```text
//! $ cargo run --example queues
//! mails: 6 sent, up to 3 at once
//! exports: 3 written, up to 1 at once
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use taskq::Worker;
use taskq::testing::Database;
use tokio::sync::Barrier;
use tokio::time::sleep;

#[taskq::task(queue = "mail")]
async fn send_mail(office: &Office) {
    office.mails.enter();
    office.three.wait().await; // goes on when three are here
    office.mails.leave();
}

#[taskq::task(queue = "export")]
async fn write_export(office: &Office) {
    office.exports.enter();
    sleep(Duration::from_millis(50)).await;
    office.exports.leave();
}

struct Office {
    mails: Room,
    exports: Room,
    three: Barrier,
}

/// Counts who is in it, and how many were at most.
#[derive(Default)]
struct Room {
    inside: AtomicUsize,
    most: AtomicUsize,
    left: AtomicUsize,
}

impl Room {
    fn enter(&self) {
        let inside = self.inside.fetch_add(1, Relaxed) + 1;
        self.most.fetch_max(inside, Relaxed);
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Relaxed);
        self.left.fetch_add(1, Relaxed);
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();

    let mut tx = pool.begin().await?;
    taskq::enqueue_many(&mut tx, (0..3).map(|_| WriteExport {})).await?;
    taskq::enqueue_many(&mut tx, (0..6).map(|_| SendMail {})).await?;
    tx.commit().await?;

    let office = Arc::new(Office {
        mails: Room::default(),
        exports: Room::default(),
        three: Barrier::new(3),
    });
    // These queues and no other: a task in `default` would wait for another worker.
    Worker::builder(pool.clone())
        .queue("mail", 3)
        .queue("export", 1)
        .state_arc(office.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;

    let report = |room: &Room| (room.left.load(Relaxed), room.most.load(Relaxed));
    let (sent, at_once) = report(&office.mails);
    println!("mails: {sent} sent, up to {at_once} at once");
    let (written, at_once) = report(&office.exports);
    println!("exports: {written} written, up to {at_once} at once");
    Ok(())
}

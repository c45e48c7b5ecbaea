//! What an attempt is charged for: the failure of its handler, not a delay of its worker.

use std::time::Duration;

use sqlx::{PgConnection, query};
use taskq::task;
use tokio::time::sleep;

use crate::support::{
    Log, count_effects, database, effects, one, states, until, while_working, worker,
};

async fn write(db: &mut PgConnection, n: i64) -> sqlx::Result<()> {
    query("insert into effect values ($1)")
        .bind(n)
        .execute(db)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_claim_that_its_worker_gave_up_charges_nothing() {
    #[task(max_attempts = 1)]
    async fn late(n: i64) {
        let _ = n;
    }
    #[task(max_attempts = 1)]
    async fn late_once(tx: &mut PgConnection, n: i64) -> sqlx::Result<()> {
        write(tx, n).await
    }

    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    for n in 0..5 {
        Late::enqueue(&mut db, n).await.expect("enqueued");
        LateOnce::enqueue(&mut db, n).await.expect("enqueued");
    }
    drop(db);
    // Claims wait for it, for longer than the worker waits for them.
    let mut hold = pool.begin().await.expect("begun");
    query("lock table taskq.lease in exclusive mode")
        .execute(&mut *hold)
        .await
        .expect("locked");
    let worker = worker(&pool).only::<(Late, LateOnce)>();
    while_working(worker, async {
        sleep(Duration::from_secs(17)).await;
        hold.rollback().await.expect("over");
        until("done", async || {
            let crashes = "select coalesce(max(crashes + attempts), 0) from taskq.tasks";
            assert_eq!(one::<i32>(&pool, crashes).await, 0);
            states(&pool).await.is_empty()
        })
        .await;
    })
    .await;
    assert_eq!(count_effects(&pool).await, (5, 5));
}

#[tokio::test]
async fn a_lease_of_the_worker_itself_that_ran_out_is_handed_back() {
    #[task]
    async fn waits() {
        sleep(Duration::from_millis(1)).await;
    }

    let (_database, pool) = database().await;
    Waits::enqueue(&mut pool.acquire().await.expect("a connection"))
        .await
        .expect("enqueued");
    let worker = worker(&pool)
        .only::<(Waits,)>()
        .lease(Duration::from_secs(2));
    let worker = worker.build().await.expect("built");
    // As if a claim had been made of which the worker did not hear.
    query(
        "with claimed as (delete from taskq.task returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions,
             payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), $1, queue, now() - interval '1 second', array[task_id], array[task_type],
             array[payload_version], array[payload], array[priority], array[run_at], array[created_at],
             array[max_attempts], array[attempts], array[crashes], array[errors]
         from claimed",
    )
    .bind(worker.id())
    .execute(&pool)
    .await
    .expect("claimed");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = worker.run_until(async {
        stopped.await.ok();
    });
    let watch = async {
        until("done", async || {
            let crashes = "select coalesce(max(crashes), 0) from taskq.tasks";
            assert_eq!(one::<i32>(&pool, crashes).await, 0);
            states(&pool).await.is_empty()
        })
        .await;
        drop(stop);
    };
    let ((), ended) = tokio::join!(watch, run);
    ended.expect("stopped");
}

#[tokio::test]
async fn a_handler_that_blocks_its_thread_is_named() {
    #[task(timeout = "1s")]
    async fn blocks() {
        std::thread::sleep(Duration::from_millis(3_500));
    }

    let log = Log::capture();
    let (_database, pool) = database().await;
    Blocks::enqueue(&mut pool.acquire().await.expect("a connection"))
        .await
        .expect("enqueued");
    while_working(worker(&pool).only::<(Blocks,)>(), async {
        until("told", async || {
            log.has("outran its timeout") && log.has("this worker stood still")
        })
        .await;
    })
    .await;
    let line = log.text();
    let line = line
        .lines()
        .find(|line| line.contains("this worker stood still"));
    let line = line.expect("a line");
    assert!(line.contains("blocks 1 for"), "{line}");
}

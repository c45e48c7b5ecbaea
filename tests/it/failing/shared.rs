//! What a type says of its failures stands with the task: it holds whichever worker makes the next attempt.

use std::error::Error;
use std::time::Duration;

use sqlx::{PgConnection, PgPool, query, query_as};
use taskq::error::BoxError;
use taskq::{Attempt, Discarded, WorkerBuilder, task};

use crate::support::{database, execute, one, until, while_working, worker};

const TASKS: i64 = 20;

/// What a worker is called.
struct Name(&'static str);

/// Writes down an attempt: which task, the key of its effect, and which worker.
async fn tried(pool: &PgPool, worker: &Name, attempt: &Attempt) -> Result<(), BoxError> {
    query("insert into tried (task_type, task_id, key, worker) values ($1, $2, $3, $4)")
        .bind(attempt.task_type())
        .bind(attempt.task_id())
        .bind(attempt.key("effect"))
        .bind(worker.0)
        .execute(pool)
        .await?;
    Ok(())
}

fn by_number(_: &Waits, attempt: u16, _: &(dyn Error + 'static)) -> Duration {
    Duration::from_millis(100) * u32::from(attempt)
}

#[task(max_attempts = 4, retry = by_number, on_discard = told)]
async fn waits(pool: &PgPool, worker: &Name, attempt: &Attempt) -> Result<(), BoxError> {
    tried(pool, worker, attempt).await?;
    Err("no answer")?
}

async fn told(_: Waits, discarded: Discarded<'_>, tx: &mut PgConnection) -> sqlx::Result<()> {
    query("insert into told (task_id) values ($1)")
        .bind(discarded.attempt().task_id())
        .execute(tx)
        .await?;
    Ok(())
}

#[task(max_snoozes = 5)]
async fn naps(pool: &PgPool, worker: &Name, attempt: &Attempt) -> Result<(), BoxError> {
    tried(pool, worker, attempt).await?;
    Err(taskq::outcome::snooze(Duration::from_millis(50)))?
}

#[task(give_up_after = "8s", retry = "fixed(3s)")]
async fn gives_up(pool: &PgPool, worker: &Name, attempt: &Attempt) -> Result<(), BoxError> {
    tried(pool, worker, attempt).await?;
    Err("no answer")?
}

fn by_patience(payload: &Slow) -> Duration {
    match payload.is_patient {
        true => Duration::from_secs(60),
        false => Duration::from_millis(700),
    }
}

#[task(max_attempts = 3, retry = "fixed(50ms)", timeout = by_patience)]
async fn slow(
    pool: &PgPool,
    worker: &Name,
    attempt: &Attempt,
    is_patient: bool,
) -> Result<(), BoxError> {
    tried(pool, worker, attempt).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_patient, "it is over its time");
    Ok(())
}

async fn enqueue_all(pool: &PgPool) {
    let mut tx = pool.begin().await.expect("begun");
    for n in 0..TASKS {
        Waits::enqueue(&mut tx).await.expect("enqueued");
        Naps::enqueue(&mut tx).await.expect("enqueued");
        GivesUp::enqueue(&mut tx).await.expect("enqueued");
        let slow = Slow::enqueue(&mut tx, n % 2 == 0);
        slow.await.expect("enqueued");
    }
    tx.commit().await.expect("committed");
}

fn named(pool: &PgPool, name: &'static str) -> WorkerBuilder {
    worker(pool)
        .only::<(Waits, Naps, GivesUp, Slow)>()
        .state(Name(name))
}

#[tokio::test]
async fn what_a_type_says_of_its_failures_holds_whichever_worker_makes_the_attempt() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "create table tried (task_type text, task_id bigint, key uuid, worker text, at timestamptz default clock_timestamp());
         create table told (task_id bigint)",
    )
    .await;
    while_working(named(&pool, "one"), async {
        while_working(named(&pool, "two"), async {
            // Else the first has ended much before the second is there.
            let workers = "select count(*) from taskq.worker";
            until("both are there", async || {
                one::<i64>(&pool, workers).await == 2
            })
            .await;
            enqueue_all(&pool).await;
            let left =
                "select exists (select from taskq.tasks where state in ('waiting', 'running'))";
            until("all have ended", async || !one::<bool>(&pool, left).await).await;
        })
        .await;
    })
    .await;

    let rows: Vec<(String, i64, i64, i64, bool)> = query_as(
        "select tried.task_type, count(distinct tried.task_id), count(*), count(distinct tried.key),
                count(distinct tried.worker) = 2
         from tried group by tried.task_type order by tried.task_type",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    let [gives_up, naps, slow, waits] = <[_; 4]>::try_from(rows).expect("four types");
    let all = |name: &str, runs| (name.to_owned(), TASKS, runs, TASKS, true);
    assert_eq!(naps, all("naps", TASKS * 6));
    assert_eq!(slow, all("slow", TASKS / 2 + TASKS / 2 * 3));
    assert_eq!(waits, all("waits", TASKS * 4));
    assert!(
        (TASKS * 2..=TASKS * 4).contains(&gives_up.2) && gives_up.4,
        "{gives_up:?}"
    );

    let together = "select count(*) from (
            select from tried group by task_id having count(distinct worker) = 2
        ) as shared";
    let together: i64 = one(&pool, together).await;
    assert!(together > TASKS, "{together} tasks were attempted by both");

    let too_early = "select count(*) from (
            select at - lag(at) over (partition by task_id order by at) as waited,
                   row_number() over (partition by task_id order by at) - 1 as failures
            from tried where task_type = 'waits'
        ) as gaps where waited < failures * interval '100 ms'";
    assert_eq!(one::<i64>(&pool, too_early).await, 0);
    let untold = "select (select array_agg(task_id order by task_id) from told)
                      = (select array_agg(task_id order by task_id) from taskq.dead where task_type = 'waits')";
    assert!(one::<bool>(&pool, untold).await, "each is told of once");

    let dead: Vec<(String, String, i64)> = query_as(
        "select task_type, split_part(errors -> -1 ->> 'error', ':', 1), count(*)
         from taskq.dead group by 1, 2 order by 1, 2",
    )
    .fetch_all(&pool)
    .await
    .expect("rows");
    let of = |name: &str, said: &str, number| (name.to_owned(), said.to_owned(), number);
    assert_eq!(
        dead,
        [
            of("gives_up", "no answer; given up", TASKS),
            of("naps", "given up", TASKS),
            of("slow", "timed out after 700ms", TASKS / 2),
            of("waits", "no answer", TASKS),
        ]
    );
    let workers = "select count(distinct error ->> 'worker_id') from taskq.dead, jsonb_array_elements(errors) as error";
    assert_eq!(
        one::<i64>(&pool, workers).await,
        2,
        "each error says whose attempt it was"
    );
}

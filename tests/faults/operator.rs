//! What a person does for the tasks that something was in the way of, and with the sequence of ids.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use sqlx::{query, query_as, query_scalar};
use taskq_tests::history::{Event, Plan};
use tokio::time::sleep;

use crate::stage::{Finale, LIMIT, ONCE, REPEATABLE, Stage, seed, until};

/// Has tasks wait again that Postgres has refused, or not let be claimed, as far as nothing is in their way.
pub(crate) async fn take_back(stage: &Stage) -> sqlx::Result<()> {
    // They were put off for minutes, which a soak has no time for.
    query(
        "update taskq.task set run_at = now()
         where run_at > now()
           and errors -> -1 ->> 'error' like 'Postgres does not let it be claimed%'",
    )
    .execute(&stage.pool)
    .await?;
    let refused: Vec<(i64, i64)> = query_as(
        "select task_id, coalesce((payload ->> 'n')::bigint, 0) from taskq.refused order by task_id, refused_at",
    )
    .fetch_all(&stage.pool)
    .await?;
    for (task_id, n) in refused {
        let mut tx = taskq::begin(&stage.pool).await?;
        // A task that has used its attempts has its last one again, so that it is discarded as planned.
        query(
            "update taskq.refused
             set attempts = attempts - 1, refusal = refusal || '{\"outcome\": \"once more\"}'
             where task_id = $1
               and refusal ->> 'outcome' = 'discarded'",
        )
        .bind(task_id)
        .execute(&mut *tx)
        .await?;
        let waits = query_scalar::<_, Option<i64>>("select taskq.take_back($1)").bind(task_id);
        match waits.fetch_one(&mut *tx).await {
            Ok(Some(id)) => {
                tx.commit().await?;
                stage.trouble("a refused task is taken back");
                stage.history.record(Event::TakenBack { n });
                if id != task_id {
                    stage.history.record(Event::Renumbered { n });
                }
            }
            Ok(None) => {}
            // Still refused: the next round tries again.
            Err(error) => eprintln!("task {task_id} stays refused for now: {error}"),
        }
    }
    Ok(())
}

/// Takes tasks back until none waits, runs or is refused, for a while.
pub(crate) async fn all_over(stage: &Stage, limit: Duration) {
    let began = Instant::now();
    while began.elapsed() < limit {
        let left = async {
            take_back(stage).await?;
            // A group whose task was refused ends when a worker looks after it.
            query_scalar::<_, i64>(
                "select (select count(*) from taskq.tasks where state in ('waiting', 'running', 'refused'))
                     + (select count(*) from taskq.task_group where ended_at is null and sealed_at is not null)",
            )
            .fetch_one(&stage.pool)
            .await
        };
        if matches!(left.await, Ok(0)) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sets the sequence of ids back, as a restore of it does, by at the most so many.
pub(crate) async fn set_ids_back(stage: &Stage, most: i64) {
    let set_back = query_scalar(
        "select setval(
             pg_get_serial_sequence('taskq.task', 'task_id'),
             greatest(1, nextval(pg_get_serial_sequence('taskq.task', 'task_id')) - $1)
         )",
    )
    .bind(fastrand::i64(1..=most));
    let from: i64 = set_back.fetch_one(&stage.pool).await.expect("set back");
    stage.trouble("the sequence of ids is set back");
    let to = from + most;
    stage.history.record(Event::SetBack { from, to });
    let noted = query("insert into set_back (first, last) values ($1, $2)");
    let noted = noted.bind(from).bind(to).execute(&stage.pool).await;
    noted.expect("noted");
}

#[tokio::test]
async fn all_is_well_while_the_sequence_of_ids_is_set_back() {
    seed();
    let stage = Stage::shared().await;
    let _workers = Vec::from_iter((0..2).map(|_| stage.worker().start()));
    let fails_once = Plan {
        failures: 1,
        ..REPEATABLE
    };
    let mut db = stage.pool.acquire().await.expect("a connection");
    for _ in 0..10 {
        for plan in [fails_once, ONCE, REPEATABLE] {
            // Refused where the next id still waits; the application tries again.
            while stage
                .enqueue_on(&mut db, plan, 5, 300, Finale::Commit)
                .await
                .is_err()
            {}
        }
        // Their ids are free, and they may come back.
        until("claimed", async || {
            stage.count("select count(*) from taskq.task").await == 0
        })
        .await;
        set_ids_back(&stage, 30).await;
    }
    all_over(&stage, LIMIT).await;
    stage.is_well().await;
    let mut tasks = HashMap::<i64, HashSet<i64>>::new();
    for entry in stage.read_history().iter().flatten() {
        if let Event::Started { n, task_id, .. } = entry.event {
            tasks.entry(task_id).or_default().insert(n);
        }
    }
    let came_again = tasks.values().filter(|it| it.len() > 1).count();
    assert!(came_again > 0, "no id came again: {stage}");
}

#[tokio::test]
async fn nothing_starts_of_a_paused_queue_while_workers_are_killed_and_connections_end() {
    seed();
    let stage = Stage::shared().await;
    for plan in [REPEATABLE, ONCE] {
        stage.enqueue(plan, 300, 100).await;
    }
    let mut workers = Vec::from_iter((0..3).map(|_| stage.worker().start()));
    stage.at_least(50).await;
    stage
        .execute("select taskq.pause_queue('default', 'a test')")
        .await;
    stage.trouble("the queue is paused");
    sleep(Duration::from_secs(1)).await;
    let before = stage.attempts();
    assert!(before < 600, "{before} attempts: too few tasks");
    for round in 0..12 {
        let victim = fastrand::usize(..workers.len());
        if round % 2 == 0 {
            stage.fault("a worker is killed");
            workers[victim].kill();
            workers[victim] = stage.worker().start();
        } else {
            let ended = query(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid() and random() < 0.5",
            );
            // This one may be among them.
            ended.execute(&stage.pool).await.ok();
        }
        sleep(Duration::from_millis(fastrand::u64(100..500))).await;
    }
    assert_eq!(stage.attempts(), before, "{stage}");
    until("resumed", async || {
        let resume = query("select taskq.resume_queue('default')");
        resume.execute(&stage.pool).await.is_ok()
    })
    .await;
    stage.trouble("the queue is resumed");
    stage.ends_well().await;
}

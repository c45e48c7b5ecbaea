//! What nobody keeps is taken back, and charged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use taskq::task;
use tokio::time::sleep;

use super::{Other, brief_lease};
use crate::support::{
    Log, database, execute, leave_behind, one, states, task as find, until, while_working, worker,
};

#[tokio::test]
async fn a_task_whose_lease_expired_is_claimed_by_another_worker() {
    #[task]
    async fn orphan(runs: &AtomicUsize) {
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            std::future::pending::<()>().await;
        }
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Orphan::enqueue(&mut db).await.expect("enqueued").task_id;
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = || {
        brief_lease(&pool)
            .only::<(Orphan,)>()
            .state_arc(runs.clone())
    };

    // Its future dropped, the first worker is as good as killed: it hands nothing back.
    let vanishing = worker().build().await.expect("the worker starts");
    tokio::select! {
        ended = vanishing.run() => panic!("{ended:?}"),
        () = until("started", async || runs.load(Ordering::SeqCst) == 1) => {}
    }
    assert_eq!(find(&pool, task_id).await.expect("leased").state, "running");

    while_working(worker(), async {
        until("run again", async || find(&pool, task_id).await.is_none()).await;
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_vanished_worker_uses_no_attempt_and_is_counted_as_a_crash() {
    #[task]
    async fn abandoned() {}

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Abandoned::enqueue(&mut db).await.expect("enqueued").task_id;
    leave_behind(&pool).await;
    let held = "select jsonb_build_array(worker_id, claimed_at) from taskq.lease";
    let held: serde_json::Value = one(&pool, held).await;
    // This worker knows nothing of the type, and rescues it all the same.
    while_working(brief_lease(&pool).only::<(Other,)>(), async {
        until("rescued", async || {
            find(&pool, task_id)
                .await
                .is_some_and(|it| it.state == "waiting")
        })
        .await;
    })
    .await;
    let row = find(&pool, task_id).await.expect("waiting");
    assert_eq!((row.attempts, row.crashes), (0, 1));
    let error = &row.errors.expect("an error")[0];
    assert_eq!(
        [&error["worker_id"], &error["claimed_at"]],
        [&held[0], &held[1]]
    );
    let shown = taskq::operate(&pool).show(task_id).await.expect("answered");
    let report = &shown.expect("waiting").errors[0].report;
    assert!(
        report.claimed_at.is_some() && report.started_at.is_none(),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_lease_that_cannot_be_rescued_does_not_keep_others_from_it() {
    let (_database, pool) = database().await;
    execute(&pool, "insert into taskq.task (task_type) values ('stuck')").await;
    leave_behind(&pool).await;
    // Its id is taken again meanwhile, as after a restored backup.
    execute(
        &pool,
        "insert into taskq.task (task_id, task_type) overriding system value select task_ids[1], 'stuck' from taskq.lease",
    )
    .await;
    execute(&pool, "insert into taskq.task (task_type) values ('free')").await;
    sqlx::raw_sql(
        "with batch as (delete from taskq.task where task_type = 'free' returning *)
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), gen_random_uuid(), queue, now() - interval '1 second', array[task_id], array[task_type], array[payload], array[priority], array[run_at], array[created_at], array[max_attempts], array[attempts], array[crashes], array[errors] from batch",
    )
    .execute(&pool)
    .await
    .expect("left behind");
    while_working(brief_lease(&pool).only::<(Other,)>(), async {
        until("rescued", async || {
            one::<i64>(
                &pool,
                "select count(*) from taskq.task where task_type = 'free' and crashes = 1",
            )
            .await
                == 1
        })
        .await;
    })
    .await;
}

/// Leaves the tasks that wait in a lease that has run out, as a worker does that is killed.
async fn vanish_with(pool: &PgPool, task_id: i64) {
    until("vanished with", async || {
        let moved: i64 = sqlx::query_scalar(
            "with batch as (delete from taskq.task where task_id = $1 returning *),
             lease as (
                 insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
                 select gen_random_uuid(), gen_random_uuid(), queue, now() - interval '1 second', array[task_id], array[task_type], array[payload_version], array[payload], array[priority], array[run_at], array[created_at], array[max_attempts], array[attempts], array[crashes], array[errors] from batch
             )
             select count(*) from batch",
        )
        .bind(task_id)
        .fetch_one(pool)
        .await
        .expect("left behind");
        moved == 1
    })
    .await;
}

#[tokio::test]
async fn a_task_that_keeps_killing_its_worker_is_quarantined() {
    let (_database, pool) = database().await;
    let task_id: i64 = one(
        &pool,
        "insert into taskq.task (task_type, payload, payload_version) values ('deadly', '{\"a\": 1}', 3) returning task_id",
    )
    .await;
    let log = Log::capture();
    while_working(brief_lease(&pool).only::<(Other,)>(), async {
        for crash in 1..=4 {
            vanish_with(&pool, task_id).await;
            until("rescued", async || {
                find(&pool, task_id)
                    .await
                    .is_some_and(|it| it.state == "waiting" && it.crashes == crash)
            })
            .await;
        }
        vanish_with(&pool, task_id).await;
        until("quarantined", async || {
            find(&pool, task_id)
                .await
                .is_some_and(|it| it.state == "quarantined")
        })
        .await;
    })
    .await;
    let row = find(&pool, task_id).await.expect("kept");
    assert_eq!((row.attempts, row.crashes), (0, 5));
    assert!(row.error().contains("vanished 5 times"), "{}", row.error());
    let errors = row.errors.as_ref().and_then(|errors| errors.as_array());
    let errors = errors.expect("each crash leaves one");
    assert_eq!(errors.len(), 5);
    for error in errors {
        let error = error["error"].as_str().expect("a text");
        assert!(error.contains("which claimed it at 20"), "{error}");
    }
    assert!(log.has("task quarantined"), "{}", log.text());
    assert_eq!(
        one::<i32>(&pool, "select payload_version::int from taskq.dead").await,
        3
    );
}

#[tokio::test]
async fn of_tasks_with_several_crashes_one_runs_at_a_time_and_the_others_are_not_held_up() {
    #[derive(Default)]
    struct Seen {
        suspects: AtomicUsize,
        most: AtomicUsize,
        ran: AtomicUsize,
    }

    #[task]
    async fn watched(seen: &Seen, suspect: bool) {
        if suspect {
            let now = seen.suspects.fetch_add(1, Ordering::SeqCst) + 1;
            seen.most.fetch_max(now, Ordering::SeqCst);
            sleep(Duration::from_millis(30)).await;
            seen.suspects.fetch_sub(1, Ordering::SeqCst);
        }
        seen.ran.fetch_add(1, Ordering::SeqCst);
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload, crashes)
         select 'watched', '{\"suspect\": true}'::jsonb, 2 + n % 3 from generate_series(1, 6) as n
         union all
         select 'watched', '{\"suspect\": false}'::jsonb, n % 2 from generate_series(1, 40) as n",
    )
    .await;
    let seen = Arc::new(Seen::default());
    let worker = worker(&pool).only::<(Watched,)>().state_arc(seen.clone());
    while_working(
        worker,
        until("all run", async || states(&pool).await.is_empty()),
    )
    .await;
    assert_eq!(seen.ran.load(Ordering::SeqCst), 46);
    assert_eq!(seen.most.load(Ordering::SeqCst), 1);
}

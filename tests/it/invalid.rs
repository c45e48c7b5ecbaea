//! A task type whose payloads suddenly do not decode is braked: most of its tasks wait, and other types go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::{PgConnection, PgPool};
use taskq::{Worker, WorkerBuilder, task};

use crate::support::{Log, database, execute, one, until, while_working, worker};

#[task]
async fn card(done: &AtomicUsize, _n: i64) {
    done.fetch_add(1, Ordering::SeqCst);
}

#[task]
async fn other(done: &AtomicUsize) {
    done.fetch_add(1, Ordering::SeqCst);
}

#[task]
async fn letter(tx: &mut PgConnection, _n: i64) -> Result<(), sqlx::Error> {
    sqlx::query("select 1").execute(&mut *tx).await.map(drop)
}

const INVALID: &str = "select count(*) from taskq.dead where state = 'invalid'";
const RUNNING: &str = "select count(*) from taskq.lease";
const WAITING: &str = "select count(*) from taskq.task";

/// A worker that counts in `done` what its handlers ran.
fn reader(pool: &PgPool, done: &Arc<AtomicUsize>) -> WorkerBuilder {
    worker(pool)
        .queue("mail", 10)
        .only::<(Card, Other, Letter)>()
        .state_arc(done.clone())
}

/// Waits until so many handlers have run, and what was handed back waits again.
async fn until_ran(pool: &PgPool, done: &AtomicUsize, count: usize) {
    until("they ran", async || {
        done.load(Ordering::SeqCst) == count && one::<i64>(pool, RUNNING).await == 0
    })
    .await;
}

#[tokio::test]
async fn most_tasks_wait_where_none_decodes_and_go_on_when_an_operator_says_so() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, queue, payload) select 'card', 'mail', '{"n": "seven"}' from generate_series(1, 2000);
           insert into taskq.task (task_type, queue) select 'other', 'mail' from generate_series(1, 100);
           insert into taskq.task (task_type) select 'other' from generate_series(1, 100)"#,
    )
    .await;
    let (log, done) = (Log::capture(), Arc::new(AtomicUsize::new(0)));
    while_working(reader(&pool, &done), async {
        until_ran(&pool, &done, 200).await;
        until("braked", async || log.has("in a row do not decode")).await;
        until("one was probed", async || {
            one::<i64>(&pool, INVALID).await >= 21 && one::<i64>(&pool, RUNNING).await == 0
        })
        .await;
        let waiting = one::<i64>(&pool, WAITING).await;
        assert!((1_978..=1_979).contains(&waiting), "{waiting}");
        let attempts = "select count(*) from taskq.task where attempts > 0 or errors is not null";
        assert_eq!(one::<i64>(&pool, attempts).await, 0, "they wait as before");

        execute(
            &pool,
            r#"update taskq.task set payload = '{"n": 7}'; notify "taskq.operator", 'scan'"#,
        )
        .await;
        until("drained", async || one::<i64>(&pool, WAITING).await == 0).await;
        let invalid = one::<i64>(&pool, INVALID).await;
        assert!(invalid <= 24, "{invalid}");
        let rest = usize::try_from(2_000 - invalid).expect("some");
        until_ran(&pool, &done, 200 + rest).await;
    })
    .await;
    let text = log.text();
    let said = "20 tasks `card` without a version in a row do not decode";
    assert_eq!(text.matches(said).count(), 1, "{text}");
    assert!(
        text.contains(r#"error="payload does not decode at `n`: invalid type: string"#),
        "{text}"
    );
    let again = "tasks `card` without a version are claimed as before";
    assert_eq!(text.matches(again).count(), 1, "{text}");
}

#[tokio::test]
async fn tasks_that_decode_are_found_behind_those_that_do_not() {
    let (_database, pool) = database().await;
    // As a probe looks: as many in the first seconds behind the others as in the last days.
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload, run_at) select 'card', '{}', now() - interval '4 days' from generate_series(1, 500);
           insert into taskq.task (task_type, payload, run_at) select 'card', '{"n": 7}', now() - interval '4 days' + interval '1 second' * 2 ^ (18.0 * n / 1000) from generate_series(1, 1000) as n"#,
    )
    .await;
    let done = Arc::new(AtomicUsize::new(0));
    let found = until("found", async || done.load(Ordering::SeqCst) > 0);
    while_working(reader(&pool, &done), found).await;
    let invalid = one::<i64>(&pool, INVALID).await;
    assert!(invalid < 50, "{invalid}");
}

#[tokio::test]
async fn each_of_several_workers_brakes_for_itself() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) select 'card', '[]' from generate_series(1, 1000);
           insert into taskq.task (task_type, payload) select 'letter', '{"n": null}' from generate_series(1, 1000);
           insert into taskq.task (task_type, payload) select 'letter', '{"n": 7}' from generate_series(1, 100)"#,
    )
    .await;
    execute(
        &pool,
        "update taskq.task set payload_version = 1 where payload = '{\"n\": 7}'",
    )
    .await;
    let done = Arc::new(AtomicUsize::new(0));
    let letters = "select count(*) from taskq.task where payload_version = 1";
    while_working(
        reader(&pool, &done),
        while_working(
            reader(&pool, &done),
            until("calm", async || {
                one::<i64>(&pool, INVALID).await >= 80
                    && one::<i64>(&pool, RUNNING).await == 0
                    && one::<i64>(&pool, letters).await == 0
            }),
        ),
    )
    .await;
    let per_type = "select max(count) from (select count(*) from taskq.dead where state = 'invalid' group by task_type) as of_type";
    let invalid = one::<i64>(&pool, per_type).await;
    assert!((40..60).contains(&invalid), "{invalid}");
    let waiting = one::<i64>(&pool, WAITING).await;
    assert_eq!(waiting + one::<i64>(&pool, INVALID).await, 2_000);
}

#[tokio::test]
async fn a_type_of_which_most_decode_is_never_braked() {
    let (_database, pool) = database().await;
    // No period in them: the claims of two workers would fall in step with it.
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload)
           select 'card', case when abs(hashint4(n)) % 5 < 3 then '{"n": 7}' else '{"n": "seven"}' end::jsonb from generate_series(1, 1500) as n"#,
    )
    .await;
    let (log, done) = (Log::capture(), Arc::new(AtomicUsize::new(0)));
    let few = || Worker::builder(pool.clone()).queue("default", 2);
    let few = || few().only::<(Card,)>().state_arc(done.clone());
    let decode = r#"select count(*) from taskq.task where payload = '{"n": 7}'"#;
    let decode = one::<i64>(&pool, decode).await;
    let all_ran = until_ran(&pool, &done, usize::try_from(decode).expect("some"));
    while_working(few(), while_working(few(), all_ran)).await;
    assert_eq!(one::<i64>(&pool, INVALID).await, 1_500 - decode);
    assert!(!log.has("in a row"), "{}", log.text());
}

//! How much waits, runs and is dead of each kind, and how many workers a queue could do with.

use sqlx::{AssertSqlSafe, PgPool};
use taskq::operate::{KindStats, Stats};

use crate::support::{database, execute, leave_behind};

async fn stats(pool: &PgPool) -> Stats {
    taskq::operate(pool).stats().await.expect("told")
}

/// Returns what a person reads of it, without the time.
fn line(kind: &KindStats) -> String {
    let or_more = |count| if count == kind.counted_to { "+" } else { "" };
    let mark = |holds, name| if holds { name } else { "" };
    format!(
        "{} {}: {}{} due, {}{} scheduled, {} running, {}{} dead{}{}",
        kind.queue,
        kind.task_type,
        kind.due,
        or_more(kind.due),
        kind.scheduled,
        or_more(kind.scheduled),
        kind.running,
        kind.dead,
        or_more(kind.dead),
        mark(kind.is_paused, ", paused"),
        mark(kind.is_served, ", served"),
    )
}

async fn load(pool: &PgPool, queue: &str) -> u64 {
    taskq::operate(pool).load(queue).await.expect("told")
}

#[tokio::test]
async fn each_kind_is_counted_by_where_its_tasks_are() {
    let (_database, pool) = database().await;
    assert_eq!(stats(&pool).await.kinds, []);
    // Two of them run.
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('greet'), ('greet')",
    )
    .await;
    leave_behind(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue, priority, run_at)
         values ('greet', 'default', 5, now() - interval '1 hour'),
                ('greet', 'default', 0, now() - interval '1 minute'),
                ('greet', 'default', 0, now()),
                ('greet', 'default', 0, now() + interval '1 hour'),
                ('greet', 'mail', 0, now() + interval '1 hour'),
                ('purge', 'mail', 0, now());
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state)
         select n, 'dies', '{}', 'mail', 0, now(), 3, 0, state
         from unnest(array['discarded', 'invalid', 'quarantined', 'expired', 'cancelled']) with ordinality as it (state, n);
         insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
         values (gen_random_uuid(), 'here', 1, '{default}', '{greet}', now() + interval '1 hour'),
                (gen_random_uuid(), 'gone', 1, '{mail}', '{purge}', now() - interval '1 minute');
         select taskq.pause_queue('mail'), taskq.pause_task_type('dances')",
    )
    .await;
    let found = stats(&pool).await;
    let lines: Vec<String> = found.kinds.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "default greet: 3 due, 1 scheduled, 2 running, 0 dead, served",
            "mail dies: 0 due, 0 scheduled, 0 running, 4 dead, paused",
            "mail greet: 0 due, 1 scheduled, 0 running, 0 dead, paused",
            "mail purge: 1 due, 0 scheduled, 0 running, 0 dead, paused",
        ]
    );
    assert!(!found.stopped);
    let oldest = found.kinds[0].oldest_due_at.expect("some are due");
    let age = found.at - oldest;
    assert!((60..70).contains(&age.num_minutes()), "{age}");
    assert_eq!(found.kinds[2].oldest_due_at, None, "none is due");
    let json = serde_json::to_value(&found).expect("json");
    assert_eq!(json["kinds"][0]["due"], 3);
}

#[tokio::test]
async fn what_is_much_is_counted_up_to_a_number() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, run_at)
         select 'greet', now() + case when n % 2 = 0 then interval '1 day' else interval '0' end
         from generate_series(1, 24000) as n;
         insert into taskq.task (task_type, priority) values ('greet', 3), ('purge', 0)",
    )
    .await;
    let found = stats(&pool).await;
    assert_eq!(
        found.kinds.iter().map(line).collect::<Vec<_>>(),
        [
            "default greet: 10000+ due, 10000+ scheduled, 0 running, 0 dead",
            "default purge: 1 due, 0 scheduled, 0 running, 0 dead",
        ]
    );
    assert_eq!(load(&pool, "default").await, 10_000);
    let few: Vec<(i64, i64)> =
        sqlx::query_as("select due, counted_to from taskq.stats(100) order by task_type")
            .fetch_all(&pool)
            .await
            .expect("told");
    assert_eq!(few, [(100, 100), (1, 100)]);
}

#[tokio::test]
async fn it_says_where_it_stopped_among_too_many_kinds() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'type_' || n from generate_series(1, 1001) as n",
    )
    .await;
    let found = stats(&pool).await;
    assert_eq!((found.kinds.len(), found.stopped), (1000, true));
    execute(
        &pool,
        "delete from taskq.task where task_type = 'type_1001'",
    )
    .await;
    let found = stats(&pool).await;
    assert_eq!((found.kinds.len(), found.stopped), (1000, false));
}

#[tokio::test]
async fn a_load_is_what_could_run_now() {
    let (_database, pool) = database().await;
    assert_eq!(load(&pool, "default").await, 0);
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('greet'), ('greet')",
    )
    .await;
    leave_behind(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue, run_at)
         select task_type, 'default', now() from generate_series(1, 5), unnest(array['greet', 'purge']) as task_type;
         insert into taskq.task (task_type, queue, run_at)
         values ('greet', 'default', now() + interval '1 hour'), ('greet', 'mail', now())",
    )
    .await;
    let after = async |sql: &str| {
        let said = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        said.execute(&pool).await.expect("said");
        load(&pool, "default").await
    };
    assert_eq!(load(&pool, "default").await, 12, "two run, ten are due");
    assert_eq!(after("select taskq.pause_task_type('purge')").await, 7);
    assert_eq!(after("select taskq.resume_task_type('purge')").await, 12);
    let limit = "select taskq.limit_concurrency('task_type', 'greet', 3)";
    assert_eq!(
        after(limit).await,
        8,
        "one more of greet, and five of purge"
    );
    let limit = "select taskq.limit_concurrency('task_type', 'greet', 1)";
    assert_eq!(after(limit).await, 7, "what runs is not stopped");
    let limit = "select taskq.limit_concurrency('queue', 'default', 4)";
    assert_eq!(after(limit).await, 4);
    let limit = "select taskq.limit_concurrency('queue', 'default', 1)";
    assert_eq!(after(limit).await, 2, "what runs is not stopped");
    let reset =
        "select taskq.reset_limits('queue', 'default'), taskq.reset_limits('task_type', 'greet')";
    assert_eq!(after(reset).await, 12);
    assert_eq!(after("select taskq.pause_queue('default')").await, 2);
    assert_eq!(load(&pool, "mail").await, 1);
}

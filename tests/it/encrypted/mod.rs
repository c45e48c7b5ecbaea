//! Encrypted fields of payloads: what is stored, and who can read it.

mod rotation;

use std::sync::Once;

use sqlx::{AssertSqlSafe, PgPool};
use taskq::encryption::{self, Keys};
use taskq::operate::Filter;
use taskq::testing::Database;
use taskq::{Payload, WorkerBuilder, enqueue_copy, enqueue_many, task};

use crate::secrets::{CANARY, MARK};
use crate::support::{
    self, Log, count_effects, drain, effects, execute, one, states, task as row, until,
    while_working,
};

const NEW: &str = "2026-11:ZGVhZGJlZWZkZWFkYmVlZmRlYWRiZWVmZGVhZGJlZWY=";
const OLD: &str = "2026-05:YmVlZmRlYWRiZWVmZGVhZGJlZWZkZWFkYmVlZmRlYWQ=";

fn keys(text: &str) -> Keys {
    text.parse().expect("keys")
}

/// A database, for a process whose enqueues encrypt.
async fn database() -> (Database, PgPool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| encryption::install(keys(NEW)));
    support::database().await
}

fn worker(pool: &PgPool) -> WorkerBuilder {
    support::worker(pool).only::<(Unlock, File)>()
}

/// A worker with these keys alone.
fn with_keys(pool: &PgPool, text: &str) -> WorkerBuilder {
    worker(pool).keys(keys(text))
}

#[task(derive(Debug), alias = "old_unlock", max_attempts = 1)]
async fn unlock(
    n: i64,
    #[encrypted] code: String,
    pool: &PgPool,
) -> Result<(), taskq::error::BoxError> {
    if n < 0 {
        return Err(format!("{code} opens nothing").into());
    }
    let n = if code == CANARY { n } else { -1 };
    sqlx::query("insert into effect values ($1)")
        .bind(n)
        .execute(pool)
        .await?;
    Ok(())
}

#[task(encrypted = "payload", max_attempts = 1)]
async fn file(name: String, pages: Vec<String>) -> Result<(), String> {
    Err(format!("{name} has {pages:?}"))
}

fn unlocking(n: i64) -> Unlock {
    Unlock {
        n,
        code: CANARY.to_owned(),
    }
}

/// All that the schema holds, in every table and column.
async fn all_rows(pool: &PgPool) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class
         where relnamespace = 'taskq'::regnamespace and relkind in ('r', 'p')",
    )
    .fetch_all(pool)
    .await
    .expect("readable");
    assert!(tables.len() > 20, "{tables:?}");
    let mut all = String::new();
    for table in tables {
        let sql =
            format!("select coalesce(string_agg(it::text, ' '), '') from taskq.\"{table}\" as it");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(pool)
            .await
            .expect("readable");
        all.push_str(&rows);
    }
    all
}

#[tokio::test]
async fn the_value_is_in_no_table_and_its_handler_is_given_it() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = pool.begin().await.expect("a transaction");
    Unlock::enqueue(&mut tx, 1, CANARY.to_owned())
        .await
        .expect("enqueued");
    enqueue_many(&mut tx, [2, 3].map(unlocking))
        .await
        .expect("enqueued");
    enqueue_copy(&mut tx, [4, 5].map(unlocking))
        .await
        .expect("copied");
    File::enqueue(&mut tx, CANARY.to_owned(), vec![CANARY.to_owned()])
        .await
        .expect("enqueued");
    Unlock::enqueue(&mut tx, -1, CANARY.to_owned())
        .await
        .expect("enqueued");
    taskq::assert_enqueued!(
        &mut tx,
        Unlock {
            n: 4,
            code: CANARY.to_owned()
        }
    );
    tx.commit().await.expect("committed");
    let stored = all_rows(&pool).await;
    assert!(!stored.contains(MARK), "{stored}");
    assert!(stored.contains("2026-11"), "{stored}");
    let log = Log::capture();
    drain(worker(&pool).keep_completed(true), &pool).await;
    assert_eq!(count_effects(&pool).await, (5, 5));
    assert_eq!(one::<i64>(&pool, "select min(n) from effect").await, 1);
    let stored = all_rows(&pool).await;
    assert!(!stored.contains(MARK), "{stored}");
    assert!(stored.contains("*** opens nothing"), "{stored}");
    assert!(!log.has(MARK), "{}", log.text());
    let operator = taskq::operate(&pool);
    let dead = operator
        .list(&"state:dead".parse::<Filter>().expect("a filter"))
        .await
        .expect("listed");
    for task in dead.tasks {
        let shown = operator
            .show(task.task_id)
            .await
            .expect("readable")
            .expect("there");
        let shown = format!("{shown:?}");
        assert!(
            !shown.contains(MARK) && !shown.contains("$encrypted"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn two_enqueues_of_one_value_look_different() {
    let (_database, pool) = database().await;
    let mut conn = pool.acquire().await.expect("a connection");
    enqueue_many(&mut conn, [1, 1].map(unlocking))
        .await
        .expect("enqueued");
    let values = "select count(distinct payload -> 'code' ->> '$encrypted') from taskq.task";
    assert_eq!(one::<i64>(&pool, values).await, 2);
}

#[tokio::test]
async fn rows_in_clear_and_rows_of_an_old_name_run() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    sqlx::query(
        "insert into taskq.task (task_type, payload) values ('unlock', $1), ('old_unlock', $1)",
    )
    .bind(serde_json::json!({ "n": 1, "code": CANARY }))
    .execute(&pool)
    .await
    .expect("enqueued");
    drain(worker(&pool), &pool).await;
    assert_eq!(count_effects(&pool).await.0, 2);
}

#[tokio::test]
async fn what_was_changed_or_moved_is_invalid_and_its_neighbours_run() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut conn = pool.acquire().await.expect("a connection");
    let tasks = enqueue_many(&mut conn, (0..6).map(unlocking))
        .await
        .expect("enqueued");
    let ids: Vec<i64> = tasks.iter().map(|task| task.task_id).collect();
    // A byte of its end, a byte of its beginning, and the value of another type.
    for (id, change) in [
        (ids[0], "overlay(value placing 'AAAA' from 60)"),
        (ids[1], "overlay(value placing 'AAAA' from 1)"),
        (ids[2], "left(value, 20)"),
        (ids[3], "''::text"),
    ] {
        let sql = format!(
            "update taskq.task set payload = jsonb_set(payload, '{{code,$encrypted}}', to_jsonb({change}))
             from (select payload -> 'code' ->> '$encrypted' as value from taskq.task where task_id = {id}) as old
             where task_id = {id}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&pool)
            .await
            .expect("changed");
    }
    execute(
        &pool,
        "insert into taskq.task (task_type, payload, metadata)
         select 'old_unlock', payload, metadata from taskq.task where payload ->> 'n' = '4'",
    )
    .await;
    drain(worker(&pool), &pool).await;
    assert_eq!(
        states(&pool).await.into_iter().collect::<Vec<_>>(),
        [("invalid".to_owned(), 5)]
    );
    assert_eq!(count_effects(&pool).await, (2, 2));
    let error = row(&pool, ids[0]).await.expect("there").error().to_owned();
    assert!(
        error.contains("`code`")
            && error.contains("does not decrypt")
            && error.contains("the key `2026-11` is not the same everywhere"),
        "{error}"
    );
}

#[tokio::test]
async fn a_task_of_a_key_that_is_not_there_waits_uncharged_and_says_for_which() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let log = Log::capture();
    let mut conn = pool.acquire().await.expect("a connection");
    let task = Unlock::enqueue(&mut conn, 1, CANARY.to_owned())
        .await
        .expect("enqueued");
    let waits = "select coalesce(max((metadata -> 'task.missing_key' ->> 'waits')::bigint), 0) from taskq.task";
    while_working(with_keys(&pool, OLD), async {
        for times in 1..=3 {
            until("it waits", async || one::<i64>(&pool, waits).await == times).await;
            execute(&pool, "update taskq.task set run_at = now()").await;
        }
    })
    .await;
    let waiting = row(&pool, task.task_id).await.expect("there");
    assert_eq!((waiting.attempts, waiting.errors), (0, None));
    assert!(
        log.has("encrypted with a key that this worker does not have"),
        "{}",
        log.text()
    );
    assert_eq!(
        one::<String>(
            &pool,
            "select metadata -> 'task.missing_key' ->> 'key' from taskq.task"
        )
        .await,
        "2026-11"
    );
    execute(
        &pool,
        "update taskq.task set run_at = now() + interval '1 minute'",
    )
    .await;
    let why = "select string_agg(said || ' -> ' || advice, '; ') from taskq.why($1) where reason = 'not due'";
    let why: Option<String> = sqlx::query_scalar(why)
        .bind(task.task_id)
        .fetch_one(&pool)
        .await
        .expect("asked");
    let why = why.expect("it is not due");
    assert!(
        why.contains("; a worker that came to it did not have the key 2026-11 -> give that key to all workers"),
        "{why}"
    );
    execute(&pool, "update taskq.task set run_at = now()").await;
    drain(with_keys(&pool, &format!("{OLD} {NEW}")), &pool).await;
    assert_eq!(count_effects(&pool).await, (1, 1));
}

#[tokio::test]
async fn what_is_typed_by_hand_is_encrypted_and_a_mask_keeps_what_is_stored() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let operator = taskq::operate(&pool);
    let raw = |json: String| taskq::json::RawValue::from_string(json).expect("JSON");
    let json = serde_json::json!({ "n": -1, "code": CANARY }).to_string();
    let (id, _) = operator
        .enqueue("unlock", raw(json))
        .await
        .expect("enqueued");
    assert!(!all_rows(&pool).await.contains(MARK));
    drain(worker(&pool), &pool).await;
    operator
        .edit(id, raw(r#"{"n": 1, "code": "***"}"#.into()))
        .await
        .expect("edited");
    assert!(
        one::<bool>(
            &pool,
            "select payload -> 'code' ? '$encrypted' from taskq.task"
        )
        .await
    );
    drain(worker(&pool), &pool).await;
    assert_eq!(one::<i64>(&pool, "select n from effect").await, 1);
}

#[tokio::test]
async fn a_schedule_of_encrypted_fields_is_refused() {
    let (_database, pool) = database().await;
    let mut conn = pool.acquire().await.expect("a connection");
    let made = taskq::schedules(&mut conn)
        .upsert("nightly", "0 2 * * *", "UTC", unlocking(1))
        .await;
    let error = made.expect_err("refused").to_string();
    assert!(
        error.contains("a schedule keeps its payload, and `code` of `unlock` is encrypted"),
        "{error}"
    );
}

#[derive(serde::Serialize, serde::Deserialize, Payload)]
struct Locked {
    n: i64,
    #[taskq(encrypted)]
    code: String,
}

#[task]
async fn unlock_many(#[batch(5, "200ms")] all: Vec<Locked>, pool: &PgPool) -> sqlx::Result<()> {
    assert!(all.iter().all(|it| it.code == CANARY));
    let numbers: Vec<i64> = all.iter().map(|it| it.n).collect();
    let insert = sqlx::query("insert into effect select * from unnest($1::bigint[])");
    insert.bind(numbers).execute(pool).await.map(drop)
}

#[tokio::test]
async fn of_a_batch_one_whose_key_is_missing_waits_and_the_others_are_decrypted() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    let locked = (0..5).map(|n| Locked {
        n,
        code: CANARY.to_owned(),
    });
    enqueue_many(&mut db, locked).await.expect("enqueued");
    execute(
        &pool,
        "update taskq.task set payload = replace(payload::text, '2026-11', '2026-05')::jsonb where payload @> '{\"n\": 3}'",
    )
    .await;
    let unlocking = support::worker(&pool)
        .only::<(UnlockManyHandler,)>()
        .keys(keys(NEW))
        .state(pool.clone());
    let done = async || count_effects(&pool).await == (4, 4) && states(&pool).await.len() == 1;
    while_working(unlocking, until("the others ran", done)).await;
    let waiting = "select count(*) from taskq.task where attempts = 0 and run_at > now() and payload @> '{\"n\": 3}'";
    assert_eq!(one::<i64>(&pool, waiting).await, 1);
}

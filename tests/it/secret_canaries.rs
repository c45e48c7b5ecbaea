//! A canary in each secret field, through every way in which a task may end: then all that taskq keeps, shows, logs and says
//! is searched for it.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, query, query_as, query_scalar};
use taskq::testing::drain;
use taskq::{WorkerBuilder, dashboard, task};

use crate::cli::said;
use crate::secrets::{CANARY, Charge, Lines, MARK, assert_clean, charge};
use crate::support::{database, execute, one, worker};

#[task(
    derive(Debug, Clone),
    max_attempts = 2,
    timeout = "200ms",
    retry = "fixed(1ms)",
    result = "keep",
    unique(fields(how), until = "started"),
    keep(discarded = "30d")
)]
async fn pay(
    attempt: &taskq::Attempt,
    how: String,
    #[secret] token: String,
) -> anyhow::Result<String> {
    let chain = || {
        let bottom = Err(anyhow::anyhow!("the bank says: {token:?} is stolen"));
        let middle: anyhow::Result<String> = bottom.context(format!("no right with {token}"));
        middle.context("cannot pay")
    };
    match how.as_str() {
        "chain" => chain(),
        "panic" => panic!("no connection with {token}"),
        "panic with all" => panic!("{attempt:?} of {token:?}"),
        "hang" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(token)
        }
        "discard" => Err(taskq::outcome::discard(format!("bad token {token}")).into()),
        "cancel" => Err(taskq::outcome::cancel(format!("not with {token}")).into()),
        "retry" => Err(taskq::outcome::retry_in(Duration::ZERO).into()),
        "debug" => Err(anyhow::anyhow!("{:?}", chain())),
        "cut" => Err(anyhow::anyhow!(
            "{}{token}{}",
            "x".repeat(3_000),
            "y".repeat(9_000)
        )),
        _ => Ok("paid".into()),
    }
}

/// Of a payload that is declared elsewhere, with a value of several parts.
#[task(handles = Charge)]
async fn charge_card(usr_id: i64, card: Value) -> Result<(), String> {
    match usr_id {
        1 => Err(format!("{card} is stolen")),
        2 => Err(format!("the number {} is stolen", card["number"])),
        3 => panic!("{card:?}"),
        _ => Ok(()),
    }
}

fn paying(how: &str) -> Pay {
    Pay {
        how: how.into(),
        token: CANARY.into(),
    }
}

fn charging(usr_id: i64) -> Charge {
    Charge { usr_id, ..charge() }
}

fn types(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(Pay, ChargeCardHandler)>()
}

/// Returns the columns of all tables that hold the mark, but for those that are payloads.
async fn columns_that_tell(pool: &PgPool) -> Vec<String> {
    let columns: Vec<(String, String)> = query_as(
        "select class.relname::text, attribute.attname::text
         from pg_class as class
         join pg_attribute as attribute on attribute.attrelid = class.oid
         where class.relnamespace = 'taskq'::regnamespace
           and class.relkind in ('r', 'p')
           and not class.relispartition
           and attribute.attnum > 0
           and not attribute.attisdropped
           and attribute.attname not in ('payload', 'payloads')
         order by 1, 2",
    )
    .fetch_all(pool)
    .await
    .expect("readable");
    assert!(columns.len() > 200, "{} columns", columns.len());
    let mut telling = Vec::new();
    for (table, column) in columns {
        let sql = format!(
            "select count(*) from taskq.\"{table}\" where strpos(\"{column}\"::text, '{MARK}') > 0"
        );
        let found: i64 = query_scalar(AssertSqlSafe(sql))
            .fetch_one(pool)
            .await
            .expect("readable");
        if found > 0 {
            telling.push(format!("{table}.{column}: {found}"));
        }
    }
    telling
}

/// Enqueues in each way, and has every task end in its own way.
async fn live(pool: &PgPool) {
    let mut db = pool.acquire().await.expect("a connection");
    for how in ["chain", "panic", "panic with all", "hang", "discard"] {
        taskq::enqueue(&mut db, paying(how))
            .await
            .expect("enqueued");
    }
    let many = ["cancel", "retry", "debug", "cut", "ok"].map(paying);
    let many = taskq::enqueue_many(&mut db, many).await.expect("enqueued");
    assert_clean("what an enqueue returns", &format!("{many:?}"));
    taskq::enqueue_copy(
        &mut db,
        [charging(1), charging(2), charging(3), charging(4)],
    )
    .await
    .expect("copied");
    drop(db);
    // Not what its type reads, beside and in the place of the secret.
    for payload in [
        json!({"how": 7, "token": CANARY}),
        json!({"how": "ok", "token": [CANARY]}),
        json!({"how": "ok", "token": {CANARY: 1}}),
        json!({"how": "ok", "token": CANARY, "more": []}),
        json!([CANARY]),
        json!(CANARY),
    ] {
        query("insert into taskq.task (task_type, payload) values ('pay', $1)")
            .bind(payload)
            .execute(pool)
            .await
            .expect("inserted");
    }
    query("select taskq.upsert_schedule('nightly', '0 3 * * *', 'pay', $1)")
        .bind(json!({"how": "ok", "token": CANARY}))
        .execute(pool)
        .await
        .expect("made");
    for _ in 0..3 {
        drain(types(pool)).allow_failures().await.expect("drained");
    }
    // A constraint whose detail has the whole row, and one that casts the value.
    for obstacle in [
        "create unique index one_token on taskq.dead ((payload ->> 'token')) where task_id > 1000000",
        "create index numbers on taskq.dead (((payload ->> 'token')::integer)) where task_id > 1000000",
    ] {
        execute(pool, obstacle).await;
    }
    query(
        "insert into taskq.task (task_id, task_type, payload) overriding system value
         values (1000001, 'pay', $1), (1000002, 'pay', $1)",
    )
    .bind(json!({"how": "discard", "token": CANARY}))
    .execute(pool)
    .await
    .expect("inserted");
    drain(types(pool)).allow_failures().await.ok();
}

#[tokio::test]
async fn a_canary_in_each_secret_field_is_nowhere_but_in_payloads() {
    let (database, pool) = database().await;
    let (lines, _guard) = Lines::capture();
    let payload = format!("{:?} {:?}", paying("ok"), charge().card.is_object());
    assert!(!payload.contains(MARK), "Debug of a payload: {payload}");
    live(&pool).await;
    let log = lines.text();
    assert!(
        log.contains("attempt failed") && log.contains("panicked"),
        "{log}"
    );
    assert_clean("the log", &log);
    let outcomes: Vec<(String, i64)> =
        query_as("select state, count(*) from taskq.tasks group by 1 order by 1")
            .fetch_all(&pool)
            .await
            .expect("read");
    let names: Vec<_> = outcomes.iter().map(|(state, _)| &**state).collect();
    for state in ["cancelled", "completed", "discarded", "invalid", "refused"] {
        assert!(names.contains(&state), "no task is {state}: {outcomes:?}");
    }
    assert_eq!(columns_that_tell(&pool).await, Vec::<String>::new());
    pages(&pool).await;
    let ids: Vec<i64> = query_scalar("select task_id from taskq.tasks order by 1")
        .fetch_all(&pool)
        .await
        .expect("read");
    for id in &ids {
        let (out, err, _) = said(&database, &["show", &id.to_string()]).await;
        assert_clean("show", &format!("{out}{err}"));
    }
    let refused: i64 = one(&pool, "select min(task_id) from taskq.refused").await;
    for arguments in [
        &["list", "--json"][..],
        &["causes", "--json"],
        &["check"],
        &["stats"],
        &["doctor", "--json"],
        &["schedules", "--json"],
        &["prune", "--dry-run"],
        &["audit"],
        &["take-back", &refused.to_string()],
        &["retry", "--all", "state:dead type:pay", "--yes"],
        &["retry", &format!("--all=payload.token:{MARK}")],
    ] {
        let (out, err, _) = said(&database, arguments).await;
        // What was typed is said back, and that is no secret of a row.
        let text = format!("{out}{err}").replace(&format!("payload.token:{MARK}"), "");
        assert_clean(&arguments.join(" "), &text);
    }
    let shown: Vec<Value> = query_scalar("select taskq.show(task_id) from taskq.tasks")
        .fetch_all(&pool)
        .await
        .expect("shown");
    for shown in shown {
        assert_clean("taskq.show", &shown.to_string());
    }
    assert_eq!(columns_that_tell(&pool).await, Vec::<String>::new());
}

/// Asks for every page that there is, and for that of each task.
async fn pages(pool: &PgPool) {
    let pages = dashboard::router(taskq::operate(pool)).only::<(Pay, ChargeCardHandler)>();
    let ids: Vec<i64> = query_scalar("select task_id from taskq.tasks order by 1")
        .fetch_all(pool)
        .await
        .expect("read");
    let mut names: Vec<String> = [
        "overview",
        "tasks",
        "tasks?q=state:dead",
        "causes",
        "queues",
        "limits",
        "schedules",
        "schedule?name=nightly",
        "workers",
        "bulks",
        "enqueue",
        "enqueue?type=pay",
        "audit",
    ]
    .map(String::from)
    .into();
    names.extend(ids.iter().map(|id| format!("task?id={id}&all=1")));
    for (name, text) in names
        .iter()
        .zip(crate::dashboard::shown(pages, &names).await)
    {
        assert_clean(name, &text);
    }
}

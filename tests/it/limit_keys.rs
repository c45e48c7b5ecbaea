//! The keys of tasks whose type has a limit by key, and what they cost the others.

use std::time::Duration;

use sqlx::PgPool;
use taskq::{Worker, WorkerBuilder, task};
use tokio::time::{Instant, sleep};

use crate::support::{database, drain, execute, one, worker};

#[task(concurrency(2, key = tenant_id))]
async fn by_tenant(tenant_id: i64, region: String) {
    let _ = (tenant_id, region);
}

/// A later version of the same type.
mod later {
    use taskq::task;

    #[task(name = "by_tenant", concurrency(2, key(tenant_id, region)))]
    pub(super) async fn by_tenant(tenant_id: i64, region: String) {
        let _ = (tenant_id, region);
    }
}

fn worker_of_keys(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(ByTenant,)>()
}

/// The indexes, triggers and checks of the table of waiting tasks.
const CATALOGUE: &str = "
    select coalesce(string_agg(it.name, ' ' order by it.name), '')
    from (
        select indexrelid::regclass::text as name from pg_index where indrelid = 'taskq.task'::regclass
        union all
        select tgname from pg_trigger where tgrelid = 'taskq.task'::regclass and not tgisinternal
        union all
        select conname from pg_constraint where conrelid = 'taskq.task'::regclass and contype = 'c'
    ) as it";

const WITHOUT_KEYS: &str = "task_checks task_wakes_sleepers taskq.task_lane taskq.task_pkey";

#[tokio::test]
async fn tasks_cost_what_they_cost_without_limits_until_there_is_one_by_key() {
    let (_database, pool) = database().await;
    assert_eq!(one::<String>(&pool, CATALOGUE).await, WITHOUT_KEYS);
    let asks = "select prosrc from pg_proc where oid = 'taskq.wake_sleepers'::regproc";
    assert!(!one::<String>(&pool, asks).await.contains("limit"));
    // A limit of another kind needs no keys.
    execute(
        &pool,
        "select taskq.limit_concurrency('task_type', 'by_tenant', 5)",
    )
    .await;
    assert_eq!(one::<String>(&pool, CATALOGUE).await, WITHOUT_KEYS);
    execute(&pool, "insert into taskq.task (task_type) values ('plain')").await;
    let longer = "
        select pg_column_size(task.*) - pg_column_size(narrow.*)
        from taskq.task
        cross join lateral (
            select task_id, task_type, payload, queue, priority, run_at, created_at, max_attempts, attempts, crashes, errors,
                payload_version, metadata
            from taskq.task
        ) as narrow";
    assert_eq!(one::<i32>(&pool, longer).await, 0, "a row without a key");
    worker_of_keys(&pool).build().await.expect("it starts");
    let catalogue = one::<String>(&pool, CATALOGUE).await;
    assert!(catalogue.contains("taskq.task_key"), "{catalogue}");
    assert!(catalogue.contains("zz_key_"), "{catalogue}");
    assert!(!catalogue.contains("task_sequence"), "{catalogue}");
    assert!(!catalogue.contains("zz_retry_"), "{catalogue}");
    // Other types have no trigger of their own.
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values ('plain', '{"tenant_id": 1}')"#,
    )
    .await;
    let keys = "select count(*) from taskq.task where key is not null";
    assert_eq!(one::<i64>(&pool, keys).await, 0);
}

#[tokio::test]
async fn workers_that_start_together_make_the_index_once() {
    let (_database, pool) = database().await;
    let start = || async { worker_of_keys(&pool).build().await };
    let (one, two, three) = tokio::join!(start(), start(), start());
    for built in [one, two, three] {
        built.expect("it starts");
    }
}

#[tokio::test]
async fn a_worker_waits_for_an_open_enqueue_and_lets_others_pass_meanwhile() {
    let (_database, pool) = database().await;
    let mut open = pool.begin().await.expect("a transaction");
    ByTenant::enqueue(&mut open, 1, "eu".to_owned())
        .await
        .expect("enqueued");
    let enqueues = async {
        let (mut longest, began) = (Duration::ZERO, Instant::now());
        while began.elapsed() < Duration::from_secs(4) {
            let one = Instant::now();
            execute(&pool, "insert into taskq.task (task_type) values ('plain')").await;
            longest = longest.max(one.elapsed());
            sleep(Duration::from_millis(20)).await;
        }
        open.commit().await.expect("committed");
        longest
    };
    let (built, longest) = tokio::join!(worker_of_keys(&pool).build(), enqueues);
    let built: Worker = built.expect("it starts as soon as it can");
    assert!(longest < Duration::from_secs(3), "{longest:?}");
    drop(built);
    execute(&pool, "delete from taskq.task where task_type = 'plain'").await;
    // What was enqueued before the trigger was there has its key from the first claim on.
    drain(worker_of_keys(&pool), &pool).await;
}

#[tokio::test]
async fn other_fields_give_other_keys_to_what_waits() {
    let (_database, pool) = database().await;
    worker_of_keys(&pool).build().await.expect("it starts");
    let insert = r#"
        insert into taskq.task (task_type, payload, run_at)
        select 'by_tenant', jsonb_build_object('tenant_id', 1, 'region', n::text), now() + interval '1 hour'
        from generate_series(1, 5000) as n"#;
    execute(&pool, insert).await;
    let keys = "select count(distinct key) from taskq.task";
    assert_eq!(one::<i64>(&pool, keys).await, 1);
    let later = || worker(&pool).only::<(later::ByTenant,)>();
    later().build().await.expect("it starts");
    // The next claims see to it, some thousand at a time.
    for _ in 0..4 {
        execute(&pool, "select taskq.give_missing_keys('by_tenant')").await;
    }
    assert_eq!(one::<i64>(&pool, keys).await, 5000);
    execute(&pool, insert).await;
    assert_eq!(one::<i64>(&pool, keys).await, 5000, "new ones too");
    let left = "select count(*) from taskq.limit_rule where keyless_to is not null";
    assert_eq!(one::<i64>(&pool, left).await, 0);
}

#[tokio::test]
async fn an_index_that_is_not_ready_is_not_relied_on() {
    let (_database, pool) = database().await;
    execute(&pool, "create index task_key on taskq.task (key)").await;
    execute(
        &pool,
        "update pg_index set indisvalid = false where indexrelid = 'taskq.task_key'::regclass",
    )
    .await;
    let refused = worker_of_keys(&pool).build().await;
    let text = format!("{:?}", refused.expect_err("it does not start"));
    assert!(text.contains("task_key is not valid"), "{text}");
}

#[tokio::test]
async fn a_type_whose_order_is_chance_has_no_limit_by_key() {
    // Two attributes, of which the macro sees one at a time.
    #[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
    #[taskq(rate("5/s", key = tenant_id))]
    struct Elsewhere {
        tenant_id: i64,
    }

    #[task(handles = Elsewhere, order = "random")]
    async fn by_chance(tenant_id: i64) {
        let _ = tenant_id;
    }

    let (_database, pool) = database().await;
    let refused = worker(&pool).only::<(ByChanceHandler,)>().build().await;
    let text = refused.expect_err("it does not start").to_string();
    assert!(text.contains("leave out `order = \"random\"`"), "{text}");
}

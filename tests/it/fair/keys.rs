//! Which key a task has, however it is enqueued and whatever becomes of it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use taskq::{WorkerBuilder, task};

use super::{Render, Starts, renderer, renderer_of, started};
use crate::support::{database, drain, execute, leave_behind, one, until, while_working, worker};

/// The keys of what waits, and how many tasks have each.
const KEYS: &str = "
    select coalesce(string_agg(it.said, ', ' order by it.said), '')
    from (
        select format('%s %s', coalesce(key, 'none'), count(*)) as said
        from taskq.task
        group by key
    ) as it";

#[tokio::test]
async fn a_task_has_its_key_however_it_is_enqueued() {
    let (_database, pool) = database().await;
    renderer(&pool, &Arc::default())
        .build()
        .await
        .expect("it starts");
    let mut db = pool.acquire().await.expect("a connection");
    Render::enqueue(&mut db, 7).await.expect("enqueued");
    let many = || std::iter::once(Render { tenant_id: 7 });
    taskq::enqueue_many(&mut db, many())
        .await
        .expect("enqueued");
    taskq::enqueue_copy(&mut db, many())
        .await
        .expect("enqueued");
    execute(
        &pool,
        r#"select taskq.enqueue('render', '{"tenant_id": 7}');
           insert into taskq.task (task_type, payload) values ('render', '{"tenant_id": 7.0}')"#,
    )
    .await;
    assert_eq!(one::<String>(&pool, KEYS).await, r#"{"tenant_id": 7} 5"#);
}

#[task(fair = tenant_id)]
async fn optional(tenant_id: Option<i64>) {
    let _ = tenant_id;
}

#[tokio::test]
async fn tasks_without_the_field_and_with_null_have_keys_as_others_do() {
    let (_database, pool) = database().await;
    let worker = || worker(&pool).only::<(Optional,)>();
    worker().build().await.expect("it starts");
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload)
           values ('optional', '{}'), ('optional', '{"tenant_id": null}'), ('optional', '{"tenant_id": 1}')"#,
    )
    .await;
    let keys = r#"{"tenant_id": 1} 1, {"tenant_id": null} 1, {} 1"#;
    assert_eq!(one::<String>(&pool, KEYS).await, keys);
    drain(worker(), &pool).await;
}

#[task(fair = tenant_id)]
async fn fails(tenant_id: i64) -> Result<(), String> {
    Err(format!("not for {tenant_id}"))
}

fn failing(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(Fails,)>()
}

#[tokio::test]
async fn a_task_that_waits_again_keeps_its_key() {
    let (_database, pool) = database().await;
    failing(&pool).build().await.expect("it starts");
    let mut db = pool.acquire().await.expect("a connection");
    Fails::enqueue(&mut db, 7).await.expect("enqueued");
    while_working(failing(&pool), async {
        until("failed once", async || {
            let failed = "select count(*) from taskq.task where attempts = 1";
            one::<i64>(&pool, failed).await == 1
        })
        .await;
    })
    .await;
    assert_eq!(one::<String>(&pool, KEYS).await, r#"{"tenant_id": 7} 1"#);
    // Its worker vanishes, and another rescues it.
    execute(
        &pool,
        "update taskq.task set run_at = now() - interval '1 hour'",
    )
    .await;
    leave_behind(&pool).await;
    let log = crate::support::Log::capture();
    let rescuer = failing(&pool).lease(Duration::from_secs(1));
    while_working(rescuer, async {
        until("tried again", async || {
            let tried = "select count(*) from taskq.task where attempts = 2 and crashes = 1";
            one::<i64>(&pool, tried).await == 1
        })
        .await;
    })
    .await;
    drop(log);
    assert_eq!(one::<String>(&pool, KEYS).await, r#"{"tenant_id": 7} 1"#);
}

#[tokio::test]
async fn a_worker_that_stops_hands_tasks_back_with_their_keys() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    renderer(&pool, &starts).build().await.expect("it starts");
    super::enqueue(&pool, 7, 3_000).await;
    while_working(renderer(&pool, &starts), async {
        until("some", async || started(&starts).len() > 100).await;
    })
    .await;
    let keys: String = one(&pool, KEYS).await;
    assert!(
        keys.starts_with(r#"{"tenant_id": 7} "#) && !keys.contains(','),
        "{keys}"
    );
}

/// The same type before it had turns.
mod before {
    use taskq::task;

    #[task(name = "render")]
    pub(super) async fn render(tenant_id: i64) {
        let _ = tenant_id;
    }
}

#[tokio::test]
async fn tasks_that_waited_before_there_were_turns_get_their_keys() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let many = (0..5_000).map(|n| before::Render { tenant_id: n % 2 });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
    let starts = Arc::new(Starts::default());
    drain(renderer_of(100, &pool, &starts), &pool).await;
    assert_eq!(started(&starts).len(), 5_000);
}

/// A transaction that is older than the first fair worker may add a task without a key.
#[tokio::test]
async fn a_task_without_a_key_is_found() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    renderer(&pool, &starts).build().await.expect("it starts");
    super::enqueue(&pool, 1, 2_000).await;
    execute(
        &pool,
        "update taskq.limit_rule set keyless_to = null;
         alter table taskq.task disable trigger user;
         insert into taskq.task (task_type, payload, payload_version, run_at)
         values ('render', '{\"tenant_id\": 2}', 1, now() - interval '1 minute');
         alter table taskq.task enable trigger user",
    )
    .await;
    while_working(renderer(&pool, &starts), async {
        until("found", async || started(&starts).contains(&2)).await;
    })
    .await;
    assert!(started(&starts).len() < 1_500, "behind all others");
}

#[tokio::test]
async fn a_type_without_turns_is_claimed_as_before_once_they_have_ended() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    renderer(&pool, &starts).build().await.expect("it starts");
    let mut db = pool.acquire().await.expect("a connection");
    for tenant_id in [2, 1] {
        before::Render::enqueue(&mut db, tenant_id)
            .await
            .expect("enqueued");
    }
    execute(
        &pool,
        "update taskq.limit_definition set declared_until = now() - interval '1 hour';
         select taskq.end_undeclared_limits(60)",
    )
    .await;
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.limit_rule").await,
        0
    );
    drain(worker(&pool).only::<(before::Render,)>(), &pool).await;
}

//! A task that Postgres does not let a claim take holds up neither its tenant nor others.

use std::sync::Arc;

use super::{Starts, enqueue, renderer, started};
use crate::support::{Log, database, execute, one, until, while_working};

#[tokio::test]
async fn a_task_that_cannot_be_claimed_is_put_off_and_its_neighbours_run() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    renderer(&pool, &starts).build().await.expect("it starts");
    // Older ones of a tenant that comes later in the round: the head of the lane is not what stands in the way.
    for (tenant_id, count) in [(3, 200), (1, 20), (2, 20)] {
        enqueue(&pool, tenant_id, count).await;
    }
    execute(
        &pool,
        "create table user_order (task_id bigint references taskq.task (task_id));
         insert into user_order
         select min(task_id) from taskq.task where payload ->> 'tenant_id' in ('1', '2') group by payload",
    )
    .await;
    let log = Log::capture();
    while_working(renderer(&pool, &starts), async {
        until("the others ran", async || started(&starts).len() == 238).await;
    })
    .await;
    assert!(log.has("task put off"), "{}", log.text());
    let put_off = "select count(*) from taskq.task where run_at > now() + interval '1 minute'";
    assert_eq!(one::<i64>(&pool, put_off).await, 2);
}

#[tokio::test]
async fn a_task_that_a_trigger_keeps_is_put_off() {
    let (_database, pool) = database().await;
    let starts = Arc::new(Starts::default());
    renderer(&pool, &starts).build().await.expect("it starts");
    enqueue(&pool, 1, 3).await;
    execute(
        &pool,
        "create function keep() returns trigger language plpgsql as 'begin return null; end';
         create trigger keep before delete on taskq.task
         for each row when (old.task_id = 1) execute function keep()",
    )
    .await;
    let log = Log::capture();
    while_working(renderer(&pool, &starts), async {
        until("the others ran", async || started(&starts).len() == 2).await;
        until("put off", async || log.has("task put off")).await;
    })
    .await;
}

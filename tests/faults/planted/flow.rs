//! Bugs of keys, limits, pauses and ticks.

use std::time::Duration;

use taskq_tests::history::Scope;
use tokio::time::sleep;

use super::plants::Plant;
use super::{is_found, plants};
use crate::stage::{Actor, REPEATABLE, Stage, until};

impl Stage {
    fn flow_worker(&self) -> Actor {
        self.worker().set("FLOW", true)
    }

    /// Enqueues a task that has this key, unless another has it.
    async fn enqueue_key(&self, key: i64, takes_ms: u64) {
        let mut db = self.pool.acquire().await.expect("a connection");
        let enqueued = self.enqueue_single(&mut db, key, 0, takes_ms).await;
        enqueued.expect("enqueued");
    }

    /// Enqueues as many tasks of each tenant, some of which take longer.
    async fn enqueue_for_tenants(&self, batches: usize, takes_ms: [u64; 2]) {
        let mut db = self.pool.acquire().await.expect("a connection");
        for batch in 0..batches {
            let takes_ms = takes_ms[batch % 2];
            let enqueued = self.enqueue_tenanted(&mut db, 0, 10, takes_ms).await;
            enqueued.expect("enqueued");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_not_freed_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage.plant(plant).await;
        let _worker = stage.flow_worker().start();
        stage.enqueue_key(1, 0).await;
        stage.at_least(1).await;
        stage.over().await;
        stage.enqueue_key(1, 0).await;
        stage.over().await;
        stage.judged().await
    };
    is_found(
        plants::KEY_NOT_FREED,
        scenario,
        "key 1 was not freed when task",
    )
    .await;
}

#[tokio::test]
async fn a_key_that_is_freed_too_early_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage.plant(plant).await;
        let _worker = stage.flow_worker().start();
        stage.enqueue_key(1, 1_500).await;
        stage.at_least(1).await;
        stage.enqueue_key(1, 0).await;
        stage.over().await;
        stage.judged().await
    };
    let expected = "key 1 was given to a task while 1 others had it";
    is_found(plants::KEY_FREED_EARLY, scenario, expected).await;
}

async fn with_tenants(plant: Option<Plant>) -> super::Judged {
    let stage = Stage::shared().await;
    stage.plant(plant).await;
    let _workers = Vec::from_iter((0..2).map(|_| stage.flow_worker().start()));
    stage.enqueue_for_tenants(8, [20, 1_000]).await;
    stage.at_least(40).await;
    let wrong = stage.wrong_places().await.expect("places");
    stage.over().await;
    let (stage, found) = stage.judged().await;
    match found {
        Ok(_) if !wrong.is_empty() => (stage, Err(wrong)),
        Err(found) => (stage, Err(found.into_iter().chain(wrong).collect())),
        found => (stage, found),
    }
}

#[tokio::test]
async fn a_slot_that_is_freed_twice_is_found() {
    is_found(plants::SLOT_FREED_TWICE, with_tenants, "ran at once").await;
}

#[tokio::test]
async fn a_place_that_is_counted_for_another_key_is_found() {
    let expected = "uses 0 places, and leases list";
    is_found(plants::PLACE_OF_ANOTHER, with_tenants, expected).await;
}

#[tokio::test]
async fn a_start_that_uses_nothing_up_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage.plant(plant).await;
        let _worker = stage.flow_worker().start();
        stage.enqueue_for_tenants(20, [0, 0]).await;
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::START_NOT_CHARGED, scenario, "started too early").await;
}

#[tokio::test]
async fn a_pause_that_is_not_heard_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        let _worker = stage.worker().with_bug(plant).start();
        stage.enqueue(REPEATABLE, 100, 200).await;
        stage.at_least(1).await;
        let scope = Scope::TaskType("repeatable".to_owned());
        stage.pause(&scope).await.expect("paused");
        sleep(Duration::from_secs(3)).await;
        stage.resume(&scope).await.expect("resumed");
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::PAUSE_NOT_HEARD, scenario, "after it was paused").await;
}

/// What takes a tick in two transactions: the schedule has moved on before the task is there.
const TICK_IN_TWO: &str = "
create procedure tick_in_two(
    of_name text,
    of_revision bigint,
    nominals timestamptz[],
    later float8[],
    owed timestamptz,
    next timestamptz,
    missed bigint,
    inout taken bigint
)
language plpgsql
as $$
declare
    moved taskq.schedule;
    definition taskq.schedule_definition;
begin
    update taskq.schedule
    set owed_after = owed,
        next_tick = next,
        revision = revision + 1,
        last_tick = nominals[cardinality(nominals)],
        ticks = ticks + cardinality(nominals)
    where name = of_name
      and revision = of_revision
      and owed_after < owed
      and owed <= now()
      and not exists (select from taskq.pause where scope = 'schedule' and pause.name = of_name)
    returning * into moved;
    commit;
    taken := 0;
    if moved.name is not null then
        perform pg_sleep(0.3);
        select * into definition
        from taskq.schedule_definition
        where definition_id = moved.definition_id;
        perform taskq.enqueue_tick(definition, nominal, greatest(now(), nominal))
        from unnest(nominals) as nominal;
        taken := cardinality(nominals);
    end if;
end
$$";

#[tokio::test]
async fn a_tick_outside_its_transaction_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage.execute(TICK_IN_TWO).await;
        let _workers = Vec::from_iter((0..2).map(|_| stage.flow_worker().with_bug(plant).start()));
        stage.schedule().await;
        for _ in 0..12 {
            sleep(Duration::from_millis(fastrand::u64(300..600))).await;
            sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid() and random() < 0.5",
            )
            .execute(&stage.pool)
            .await
            .ok();
        }
        // They come back, and take what they have missed.
        until("caught up", async || {
            let late =
                "select count(*) from taskq.schedule where next_tick < now() - interval '1 second'";
            sqlx::query_scalar::<_, i64>(late)
                .fetch_one(&stage.pool)
                .await
                .is_ok_and(|late| late == 0)
        })
        .await;
        stage.end_schedules().await;
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::TICK_IN_TWO, scenario, "enqueued 0 tasks").await;
}

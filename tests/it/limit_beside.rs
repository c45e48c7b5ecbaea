//! Limits by key far from which all of a type's tasks are together: claims that regard no keys.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use taskq::{Attempt, Worker, task};

use crate::support::{database, execute, one, until, while_working};

/// One key may run this often.
const MOST: i64 = 40;

/// What a claim gave: the tasks of each lease with the key for which it was taken, and whether somebody else claims.
#[derive(Debug, PartialEq)]
struct Claimed {
    leases: Vec<(Option<String>, Vec<i64>)>,
    is_busy: bool,
}

impl Claimed {
    fn number(&self) -> usize {
        self.leases.iter().map(|(_, tasks)| tasks.len()).sum()
    }
}

/// Claims up to `most` tasks, which would all start at once.
async fn claim(db: &mut PgConnection, most: i64) -> Claimed {
    let rows: Vec<(Option<Vec<i64>>, Option<String>, bool)> = sqlx::query_as(
        "select task_ids, limited_key, coalesce(is_busy, false)
         from taskq.claim_limited(gen_random_uuid(), 60, 'default', '{held}', 'held', 0::smallint, 0, 0::smallint,
             $1, $1, null, '{-infinity}', '{0}', array[$1::integer], false, false)",
    )
    .bind(most)
    .fetch_all(db)
    .await
    .expect("claimed");
    let is_busy = rows.last().is_some_and(|(.., is_busy)| *is_busy);
    let leases = rows.into_iter();
    Claimed {
        leases: leases
            .filter_map(|(tasks, key, _)| Some((key, tasks?)))
            .collect(),
        is_busy,
    }
}

/// A type with a limit by key, and so many tasks of each of so many keys, in turns.
async fn held(pool: &PgPool, keys: i64, of_each: i64) {
    execute(
        pool,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most, is_settled)
         values ('key', 'held', 'concurrency', '{k}', 40, true);
         update taskq.limit_rule set keyless_to = null",
    )
    .await;
    sqlx::query(
        "insert into taskq.task (task_type, payload)
         select 'held', jsonb_build_object('k', n % $1) from generate_series(0, $1 * $2 - 1) as n",
    )
    .bind(keys)
    .bind(of_each)
    .execute(pool)
    .await
    .expect("enqueued");
}

#[tokio::test]
async fn the_oldest_start_first_while_few_run() {
    let (_database, pool) = database().await;
    held(&pool, 2, 20).await;
    let mut db = pool.acquire().await.expect("a connection");
    let claimed = claim(&mut db, 10).await;
    let oldest: Vec<i64> = (1..=10).collect();
    assert_eq!(
        claimed.leases,
        [(None, oldest)],
        "one lease for the tasks of both keys"
    );
    // More than a quarter of the limit is taken key by key.
    let claimed = claim(&mut db, 11).await;
    assert!(
        claimed.leases.iter().all(|(key, _)| key.is_some()),
        "{claimed:?}"
    );
}

#[tokio::test]
async fn no_key_has_more_than_its_limit_however_it_was_claimed() {
    let (_database, pool) = database().await;
    held(&pool, 1, 100).await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut numbers = Vec::new();
    for _ in 0..6 {
        let claimed = claim(&mut db, 10).await;
        numbers.push((
            claimed.number(),
            claimed.leases.iter().any(|it| it.0.is_some()),
        ));
    }
    let beside = (10, false);
    assert_eq!(
        numbers,
        [beside, beside, beside, (10, true), (0, false), (0, false)]
    );
    // What has ended leaves room.
    execute(
        &pool,
        "update taskq.lease set done = task_ids[1:3] where limited_key is null and task_ids[1] = 1",
    )
    .await;
    assert_eq!(claim(&mut db, 10).await.number(), 3);
    assert_eq!(claim(&mut db, 10).await.number(), 0);
}

#[tokio::test]
async fn two_claim_beside_each_other_and_whoever_counts_waits_for_them() {
    let (_database, pool) = database().await;
    held(&pool, 1, 100).await;
    let mut first = pool.begin().await.expect("a transaction");
    let mut second = pool.begin().await.expect("a transaction");
    let mut third = pool.acquire().await.expect("a connection");
    assert_eq!(claim(&mut first, 10).await.number(), 10);
    assert_eq!(claim(&mut second, 10).await.number(), 10);
    for most in [10, 20] {
        let claimed = claim(&mut third, most).await;
        assert_eq!((claimed.number(), claimed.is_busy), (0, true), "{most}");
    }
    first.commit().await.expect("committed");
    assert_eq!(claim(&mut third, 10).await.number(), 10);
    assert!(
        claim(&mut third, 20).await.is_busy,
        "the second is not counted yet"
    );
    second.commit().await.expect("committed");
    let mut counting = pool.begin().await.expect("a transaction");
    assert_eq!(claim(&mut counting, 20).await.number(), 10);
    assert!(claim(&mut third, 5).await.is_busy, "somebody counts");
    counting.commit().await.expect("committed");
    let running = "select sum(cardinality(task_ids)) from taskq.lease";
    assert_eq!(one::<i64>(&pool, running).await, MOST);
    assert_eq!(claim(&mut third, 5).await.number(), 0);
}

#[tokio::test]
async fn what_runs_from_before_the_limit_counts() {
    let (_database, pool) = database().await;
    held(&pool, 1, 100).await;
    execute(
        &pool,
        "update taskq.limit_rule set is_settled = false where name = 'held';
         with old as (delete from taskq.task where task_id <= 25 returning *)
         insert into taskq.lease (
             lease_id, worker_id, queue, expires_at, task_ids, task_types, payloads, priorities, run_ats, created_ats,
             max_attempts, attempts, crashes, errors
         )
         select gen_random_uuid(), gen_random_uuid(), 'default', now() + interval '1 hour', array_agg(task_id),
             array_agg(task_type), array_agg(payload), array_agg(priority), array_agg(run_at), array_agg(created_at),
             array_agg(max_attempts), array_agg(attempts), array_agg(crashes), array_agg(errors)
         from old",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let claimed = claim(&mut db, 10).await;
    assert!(claimed.leases[0].0.is_some(), "{claimed:?}");
    let more = claim(&mut db, 10).await.number();
    assert_eq!(claimed.number() + more, 15);
}

#[tokio::test]
async fn operators_see_who_has_the_places() {
    let (_database, pool) = database().await;
    held(&pool, 2, 20).await;
    let mut db = pool.acquire().await.expect("a connection");
    claim(&mut db, 10).await;
    execute(
        &pool,
        "update taskq.limit_rule set declared_most = 3 where name = 'held'",
    )
    .await;
    let over = "select said from taskq.ail_limits() where problem = 'over limit'";
    let said = one::<String>(&pool, over).await;
    let five = "5 tasks of task type held with one key run, and 3 may; so it is with 1 other key";
    assert_eq!(said, five);
    let holders = r#"
        select array_to_string(holders, ' ')
        from taskq.binding('default', 'held', '{"k": 0}')
        where scope = 'key'"#;
    assert_eq!(one::<String>(&pool, holders).await, "1 3 5 7 9");
}

/// Says `429` for one tenant.
#[task(concurrency(40, key = tenant_id))]
async fn ask(attempt: &Attempt, tenant_id: i64) {
    if tenant_id == 1 {
        attempt.hold_key(Duration::from_secs(3_600));
    }
}

#[tokio::test]
async fn a_handler_holds_its_own_key_alone() {
    let (_database, pool) = database().await;
    let asks = || {
        let few = Worker::builder(pool.clone()).queue("default", 4);
        few.only::<(Ask,)>()
    };
    let waiting = "select coalesce(string_agg(payload ->> 'tenant_id', ', '), '') from taskq.task";
    let left = async |tenants: &str| {
        until("the others are done", async || {
            let running = one::<i64>(&pool, "select count(*) from taskq.lease").await;
            running == 0 && one::<String>(&pool, waiting).await == tenants
        })
        .await;
    };
    asks().build().await.expect("it starts");
    execute(
        &pool,
        "update taskq.limit_rule set is_settled = true, keyless_to = null",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = [1, 2, 3].map(|tenant_id| Ask { tenant_id });
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    while_working(asks(), left("1")).await;
    let held =
        "select string_agg(scope || ' ' || key, ', ') from taskq.gate where held_until > now()";
    assert_eq!(one::<String>(&pool, held).await, r#"key {"tenant_id": 1}"#);
    // It is held for those too that are claimed without regard to keys.
    let more = [1, 2].map(|tenant_id| Ask { tenant_id });
    taskq::enqueue_many(&mut db, more).await.expect("enqueued");
    while_working(asks(), left("1, 1")).await;
}

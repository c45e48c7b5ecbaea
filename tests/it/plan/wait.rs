//! Those who wait read what they wait for, however much the tables hold.

use sqlx::{AssertSqlSafe, Row as _, raw_sql};

use super::{PLANS, explain, set_plans};
use crate::support::database;

const ENDED: &str = include_str!("../../../taskq/src/store/sql/wait/ended.sql");

const FILL: &str = "insert into taskq.task (task_id, task_type) overriding system value
        select n, 'resize' from generate_series(1, 20000) as n;
    insert into taskq.history (task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at)
        select n, 'resize', '{}', 'default', 0, now(), 1, now() from generate_series(20001, 40000) as n;
    insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state)
        select n, 'resize', '{}', 'default', 0, now(), 1, 0, 'discarded' from generate_series(40001, 60000) as n;
    insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types,
            payload_versions, payloads, priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors, done)
        select gen_random_uuid(), gen_random_uuid(), 'default', now() + interval '1 hour',
            array_agg(60000 + lease * 1000 + n), array_agg('resize'::text), array_agg(1::smallint),
            array_agg('{}'::jsonb), array_agg(0::smallint), array_agg(now()), array_agg(now()),
            array_agg(null::integer), array_agg(0), array_agg(0), array_agg(null::jsonb),
            array_agg(60000 + lease * 1000 + n) filter (where n % 2 = 0)
        from generate_series(1, 3) as lease, generate_series(1, 1000) as n group by lease";

/// A hundred of those that wait, have completed, are dead, run, and have left a lease that is there still.
const ARGUMENTS: &str =
    "select format('%L', array(select n * 100 from generate_series(1, 100) as n)
    || array(select 20000 + n * 100 from generate_series(1, 100) as n)
    || array(select 40000 + n * 100 from generate_series(1, 100) as n)
    || array(select 61000 + n from generate_series(1, 200) as n))";

#[tokio::test]
async fn those_who_wait_read_what_they_wait_for() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let prepare = format!("prepare ended (bigint[]) as {ENDED}");
    for statement in [
        &prepare,
        FILL,
        "analyze taskq.task, taskq.history, taskq.dead",
    ] {
        raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut *db)
            .await
            .expect(statement);
    }
    for mode in PLANS {
        set_plans(&mut db, mode).await;
        let row = raw_sql(ARGUMENTS)
            .fetch_one(&mut *db)
            .await
            .expect("a list");
        let (plan, _) = explain(&mut db, "ended", row.get(0)).await;
        // A hundred have completed, a hundred are dead, and of those that have left their lease nothing is known.
        assert_eq!(plan[0].rows, 300, "{mode}");
        for node in &plan {
            let is_of = |name: &str| {
                let relation = node.relation.as_deref();
                relation.is_some_and(|it| it.starts_with(name))
            };
            if is_of("task") || is_of("history") || is_of("dead") {
                assert!(
                    node.rows <= 500,
                    "{mode}: {} {:?}",
                    node.kind,
                    node.relation
                );
            }
        }
    }
}

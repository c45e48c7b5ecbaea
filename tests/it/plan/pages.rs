//! What pages ask of the database reads no more where the tables hold more.

use sqlx::{AssertSqlSafe, PgConnection, raw_sql};

use super::explain;
use crate::support::{database, execute, one, until};

/// So much waits, is dead and has completed that to read any of it to its end takes more than 3,500 pages.
const FILL: &str = "
    insert into taskq.task (task_type, queue, payload, run_at)
    select 'kind_' || n % 50, 'queue_' || n % 5, jsonb_build_object('usr_id', n, 'text', repeat('x', 500)),
        now() + case when n % 10 = 0 then interval '1 day' else interval '-1 hour' end
    from generate_series(1, 60000) as n;
    insert into taskq.task (task_type, queue, payload, run_at)
    select 'at_once', 'queue_1', '{}', now() - interval '1 hour' from generate_series(1, 100000) as n;
    insert into taskq.dead (
        task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at
    )
    select 1000000 + n, 'kind_' || n % 50, jsonb_build_object('usr_id', n, 'text', repeat('x', 1500)), 'queue_' || n % 5, 0,
        now(), 1, 0, jsonb_build_array(jsonb_build_object('attempt', 1, 'at', now(), 'error', 'no usr ' || n)), 'discarded',
        now() - n * interval '1 second'
    from generate_series(1, 20000) as n;
    select taskq.make_history_partition((now() at time zone 'UTC')::date - back) from generate_series(1, 3) as back;
    insert into taskq.history (
        task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at, finished_at
    )
    select 2000000 + n, 'kind_' || n % 50, jsonb_build_object('usr_id', n, 'text', repeat('x', 500)), 'queue_' || n % 5, 0,
        now(), 1, now(), now() - n * interval '1 second'
    from generate_series(1, 60000) as n;
    insert into taskq.refused (task_id, task_type, payload, queue, priority, attempts, crashes, refused_at)
    select 3000000 + n, 'kind_' || n % 50, jsonb_build_object('text', repeat('x', 1500)), 'queue_' || n % 5, 0, 1, 0,
        now() - n * interval '1 second'
    from generate_series(1, 20000) as n;
    insert into taskq.lease (
        lease_id, worker_id, queue, claimed_at, expires_at, task_ids, task_types, payloads, priorities, run_ats, created_ats,
        max_attempts, attempts, crashes, errors
    )
    select gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'queue_1', now() - n * interval '1 second', now() + interval '1 hour',
        array_agg(4000000 + n * 100 + k), array_agg('kind_1'::text), array_agg(jsonb_build_object('text', repeat('x', 1500))),
        array_agg(0::smallint), array_agg(now()), array_agg(now()), array_agg(null::integer), array_agg(0), array_agg(0),
        array_agg(null::jsonb)
    from generate_series(1, 200) as n, generate_series(1, 50) as k
    group by n;
    insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
    select '00000000-0000-0000-0000-000000000001', 'host', 1, array_agg(distinct 'queue_' || n % 5), array_agg('kind_' || n) || 'at_once'::text,
        now() + interval '1 hour'
    from generate_series(0, 49) as n;
    insert into taskq.minute
    select date_trunc('minute', now()) - n * interval '1 minute', 'queue_' || k % 5, 'kind_' || k, 60, 3, 1,
        '{0,1,2,5,10,20,15,7,2,1}', '{0,0,0,0,1,5,20,20,10,5}'
    from generate_series(0, 2879) as n, generate_series(1, 50) as k;
    insert into taskq.unique_key (task_type, key, task_id, until)
    select 'kind_1', to_jsonb(n), n, 'done' from generate_series(1, 1000) as n";

/// What is asked, and how many pages it may read at the most.
const ASKED: [(&str, u64); 26] = [
    // Of very many that are due at the same time, the first.
    ("taskq.why(60001)", 1_000),
    // One probe for each minute of the day, of what is counted of all kinds.
    ("taskq.stuck()", 8_000),
    ("taskq.doctor()", 15_000),
    // With what runs, of which it reads the types.
    ("taskq.stats(10000)", 3_000),
    ("taskq.causes()", 1_500),
    (
        r#"taskq.causes('{"newer": 86400, "state": ["discarded"]}', 10)"#,
        1_500,
    ),
    (r#"taskq.causes('{"type": ["kind_1"]}')"#, 1_500),
    // It reads a tenth of so many tasks.
    (
        r#"taskq.causes('{"queue": ["queue_1"]}', 50, 10000)"#,
        2_000,
    ),
    ("taskq.list()", 400),
    (r#"taskq.list('{"state": ["waiting"]}')"#, 200),
    (r#"taskq.list('{"state": ["dead"]}')"#, 200),
    (r#"taskq.list('{"state": ["refused"]}')"#, 200),
    (r#"taskq.list('{"state": ["completed"]}')"#, 300),
    (
        r#"taskq.list('{"state": ["completed"], "older": 40000}')"#,
        300,
    ),
    (r#"taskq.list('{"state": ["dead"], "older": 15000}')"#, 300),
    (
        r#"taskq.list('{"state": ["waiting"], "type": ["none"]}', 50, null, 1000)"#,
        500,
    ),
    (
        r#"taskq.list('{"state": ["dead"], "error": ["none"]}', 50, null, 1000)"#,
        1_500,
    ),
    (
        r#"taskq.list('{"state": ["refused"], "queue": ["none"]}', 50, null, 1000)"#,
        1_500,
    ),
    (
        r#"taskq.list('{"state": ["completed"], "payload": [{"path": ["usr_id"], "values": ["none"]}]}', 50, null, 1000)"#,
        500,
    ),
    (
        r#"taskq.list('{"state": ["running"], "type": ["none"]}', 50, null, 1000)"#,
        1_500,
    ),
    (r#"taskq.list('{"id": ["4000150"]}')"#, 1_000),
    (
        "taskq.list(jsonb_build_object('cause', jsonb_build_array(taskq.test_cause())))",
        300,
    ),
    ("taskq.show(1)", 1_000),
    ("taskq.show(1000001)", 1_000),
    ("taskq.show(2000001)", 1_000),
    ("taskq.show(4000150)", 1_000),
];

#[tokio::test]
async fn what_pages_ask_reads_no_more_where_the_tables_hold_more() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut run = async |text: &str| {
        let text = AssertSqlSafe(text.to_owned());
        raw_sql(text).execute(&mut *db).await.expect("done");
    };
    run("set session_replication_role = replica").await;
    run(FILL).await;
    // The last cause that the index has: to come to it from its beginning takes all of it.
    run(
        "create function taskq.test_cause() returns text language sql stable
         return (select max(cause) from taskq.dead)",
    )
    .await;
    // Else an index alone says nothing, whatever a vacuum that was busy elsewhere has left out.
    until("all is visible", async || {
        execute(&pool, "vacuum (analyze) taskq.task, taskq.dead").await;
        let hidden: bool = one(
            &pool,
            "select bool_or(relallvisible < relpages) from pg_class where oid in ('taskq.task'::regclass, 'taskq.dead'::regclass)",
        )
        .await;
        !hidden
    })
    .await;
    execute(&pool, "analyze").await;
    for place in ["task", "dead", "history", "refused"] {
        let all = pages(&mut db, &format!("taskq.{place} where payload ? 'none'")).await;
        assert!(all > 3_500, "all of {place} is {all} pages");
    }
    let day = "taskq.minute where minute > now() - interval '1 day' and runs[1] = -1";
    let day = pages(&mut db, day).await;
    assert!(day > 8_000, "the minutes of a day are {day} pages");
    let mut wrong = Vec::new();
    for (asked, most) in ASKED {
        let pages = pages(&mut db, asked).await;
        eprintln!("{pages:>6} of {most:>6} pages: {asked}");
        if pages > most {
            wrong.push((asked, pages));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns how many pages it takes to read a function or a table.
async fn pages(db: &mut PgConnection, asked: &str) -> u64 {
    let text = format!("prepare asked (integer) as select *, $1 from {asked}");
    raw_sql(AssertSqlSafe(text))
        .execute(&mut *db)
        .await
        .expect(asked);
    // The second time, what a session looks up once is known.
    explain(db, "asked", "1").await;
    let (_, pages) = explain(db, "asked", "1").await;
    raw_sql("deallocate asked")
        .execute(&mut *db)
        .await
        .expect("forgotten");
    pages
}

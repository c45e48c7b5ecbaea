//! Claims that lock nothing first, because nobody else is expected at their tasks: and somebody is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row, raw_sql};
use taskq::testing::Database;
use taskq::{Worker, WorkerBuilder, task};

use crate::support::{Log, claim_of, database, drain, execute, one, until, while_working};

const UNTOUCHED: &str = claim_of!("untouched", "taken", "into", "shared", "claimed");
const SKIP_LOCKED: &str = claim_of!("skip_locked", "taken", "into", "shared", "claimed");

/// One claim of all that is due.
const ARGUMENTS: &str = "gen_random_uuid(), gen_random_uuid(), 30, 'default', 100, array['mail'], array[0]::smallint[],
    array[0], array[0]::smallint[], array[null]::timestamptz[], array[0]::bigint[], array[null]::timestamptz[],
    array[0]::bigint[], array[100], false";

const MANY: i64 = 2_000;

type Ran = Mutex<Vec<i64>>;

#[task]
async fn noted(ran: &Ran, n: i64) {
    ran.lock().expect("not poisoned").push(n);
}

fn hurried(pool: &PgPool, ran: &Arc<Ran>) -> WorkerBuilder {
    Worker::builder(pool.clone())
        .queue("default", 200)
        .only::<(Noted,)>()
        .state_arc(ran.clone())
}

async fn backlog(pool: &PgPool) {
    let mut db = pool.acquire().await.expect("a connection");
    let many = (1..=MANY).map(|n| Noted { n });
    taskq::enqueue_many(&mut db, many).await.expect("enqueued");
}

/// Runs a text, whatever it returns, and leaves its transaction open if it has begun one.
async fn say(db: &mut PgConnection, text: impl Into<String>) {
    let said = raw_sql(AssertSqlSafe(text.into())).execute(db).await;
    said.expect("said");
}

async fn claimed(db: &mut PgConnection, statement: &str) -> Vec<i64> {
    let text = AssertSqlSafe(format!("execute {statement} ({ARGUMENTS})"));
    let leases = raw_sql(text).fetch_all(db).await.expect("claimed at once");
    let of_lease = |lease: &sqlx::postgres::PgRow| lease.get::<Vec<i64>, _>("task_ids");
    let mut tasks: Vec<i64> = leases.iter().flat_map(of_lease).collect();
    tasks.sort_unstable();
    tasks
}

#[tokio::test]
async fn what_others_have_in_hand_is_left_to_the_claim_that_skips_it() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select 'mail' from generate_series(1, 10)",
    )
    .await;
    let first: i64 = one(&pool, "select min(task_id) from taskq.task").await;
    let nth = |n: i64| format!("task_id = {}", first + n);
    let mut deletes = pool.acquire().await.expect("a connection");
    let text = format!("begin; delete from taskq.task where {}", nth(1));
    say(&mut deletes, text).await;
    let mut locks = pool.acquire().await.expect("another");
    let text = format!("begin; select from taskq.task where {} for update", nth(3));
    say(&mut locks, text).await;
    let mut db = pool.acquire().await.expect("a third");
    let update = format!("update taskq.task set priority = 1 where {}", nth(5));
    say(&mut db, format!("begin; {update}; rollback")).await;
    for (name, text) in [("untouched", UNTOUCHED), ("skip_locked", SKIP_LOCKED)] {
        say(&mut db, format!("prepare {name} as {text}")).await;
    }
    let all_but = |some: &[i64]| -> Vec<i64> {
        (0..10)
            .filter(|n| !some.contains(n))
            .map(|n| first + n)
            .collect()
    };
    assert_eq!(claimed(&mut db, "untouched").await, all_but(&[1, 3, 5]));
    assert_eq!(claimed(&mut db, "untouched").await, [0i64; 0]);
    assert_eq!(claimed(&mut db, "skip_locked").await, [first + 5]);
    say(&mut deletes, "rollback").await;
    say(&mut locks, "rollback").await;
    // Tests beside this one have transactions open, for a while.
    let mut given_back = Vec::new();
    until("nobody can have them any more", async || {
        given_back.extend(claimed(&mut db, "untouched").await);
        given_back.len() == 2
    })
    .await;
    assert_eq!(given_back, [first + 1, first + 3]);
    let timeout: String = one(&pool, "show lock_timeout").await;
    assert_eq!(timeout, "0", "it is that of the claim alone");
}

/// A backlog over one task of which each claim hesitates, between its look and its `delete` of those behind it.
async fn hesitating() -> (Database, PgPool, Arc<Ran>) {
    let (database, pool) = database().await;
    backlog(&pool).await;
    execute(
        &pool,
        "create sequence hesitation;
         create function hesitate() returns trigger language plpgsql as $$
         begin
             if old.payload ->> 'n' = '1500' then perform nextval('hesitation'), pg_sleep(1); end if;
             return old;
         end
         $$;
         create trigger hesitates before delete on taskq.task for each row execute function hesitate()",
    )
    .await;
    (database, pool, Arc::default())
}

/// Waits for a claim that hesitates, and tells whether it has locked nothing. Of old servers all claims lock.
async fn one_hesitates(pool: &PgPool) -> bool {
    const HESITATING: &str = "select query like '/* taskq claim_shared_untouched */%' from pg_stat_activity
         where datname = current_database() and wait_event = 'PgSleep' and query like '/* taskq claim_shared%'";
    let mut locks_nothing = None;
    until("a claim hesitates", async || {
        let found = sqlx::query_scalar(HESITATING).fetch_optional(pool).await;
        locks_nothing = found.expect("looked");
        locks_nothing.is_some()
    })
    .await;
    let version: i32 = one(pool, "select current_setting('server_version_num')::int").await;
    let looks_at_places_since = match version / 10_000 {
        13 => 23,
        14 => 20,
        15 => 15,
        16 => 11,
        17 => 7,
        18 => 1,
        _ => 0,
    };
    let looks = version % 10_000 >= looks_at_places_since;
    assert_eq!(locks_nothing, Some(looks), "version {version}");
    looks
}

async fn until_ran(ran: &Ran, tasks: u64) {
    until("so many have run", async || {
        ran.lock().expect("not poisoned").len() as u64 >= tasks
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_meets_somebody_is_made_again_and_skips_what_is_locked() {
    let log = Log::capture();
    let (_database, pool, ran) = hesitating().await;
    let somebody_comes = async || {
        let locks_nothing = one_hesitates(&pool).await;
        let mut somebody = pool.acquire().await.expect("a connection");
        say(
            &mut somebody,
            "begin; select from taskq.task where (payload ->> 'n')::int between 1501 and 1510 for update",
        )
        .await;
        until_ran(&ran, MANY as u64 - 10).await;
        say(&mut somebody, "rollback").await;
        until_ran(&ran, MANY as u64).await;
        locks_nothing
    };
    let locks_nothing = while_working(hurried(&pool, &ran), somebody_comes()).await;
    let claims: i64 = one(&pool, "select last_value from hesitation").await;
    let expected = if locks_nothing { 2 } else { 1 };
    assert_eq!(claims, expected, "what was rolled back was taken again");
    assert!(!log.has("claim failed"), "{}", log.text());
    let ran = ran.lock().expect("not poisoned");
    let each: BTreeSet<i64> = ran.iter().copied().collect();
    assert_eq!(each.len(), ran.len(), "once each");
}

#[tokio::test]
async fn whoever_puts_a_task_off_while_it_is_claimed_has_put_it_off() {
    let (_database, pool, ran) = hesitating().await;
    let somebody_comes = async || {
        let locks_nothing = one_hesitates(&pool).await;
        let put_off = sqlx::query(
            "update taskq.task set run_at = now() + interval '1 day'
             where (payload ->> 'n')::int between 1501 and 1510",
        )
        .execute(&pool)
        .await;
        let put_off = put_off.expect("put off").rows_affected();
        assert_eq!(put_off > 0, locks_nothing, "{put_off}");
        until_ran(&ran, MANY as u64 - put_off).await;
        put_off
    };
    let put_off = while_working(hurried(&pool, &ran), somebody_comes()).await;
    let ran = ran.lock().expect("not poisoned").len() as u64;
    assert_eq!(ran + put_off, MANY as u64);
    let waiting: i64 = one(&pool, "select count(*) from taskq.task").await;
    assert_eq!(waiting as u64, put_off);
}

#[tokio::test]
async fn what_somebody_began_to_take_and_gave_back_runs() {
    let (_database, pool) = database().await;
    backlog(&pool).await;
    execute(
        &pool,
        "begin; delete from taskq.task where (payload ->> 'n')::int between 500 and 1500; rollback",
    )
    .await;
    let ran = Arc::new(Ran::default());
    drain(hurried(&pool, &ran), &pool).await;
    let mut ran = ran.lock().expect("not poisoned").clone();
    ran.sort_unstable();
    assert_eq!(ran, (1..=MANY).collect::<Vec<_>>());
}

//! Changing keys: what is stored, and programs that have one, both or none.

use std::process::{Output, Stdio};

use taskq::encryption::{Owner, rekey};
use taskq::{Group, Schema};
use tokio::process::{Child, Command};

use super::*;
use crate::support::terminate;

#[tokio::test]
async fn rows_get_the_newest_key_and_what_cannot_is_told() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut conn = pool.acquire().await.expect("a connection");
    enqueue_many(&mut conn, (0..1_203).map(unlocking))
        .await
        .expect("enqueued");
    // Three are dead, one is damaged, one Postgres refuses.
    execute(&pool, "update taskq.task set payload = jsonb_set(payload, '{n}', '-1') where payload ->> 'n' in ('7', '8', '9')").await;
    execute(
        &pool,
        "update taskq.task set run_at = now() + interval '1 hour' where payload ->> 'n' <> '-1'",
    )
    .await;
    while_working(
        worker(&pool),
        until("dead", async || {
            one::<i64>(&pool, "select count(*) from taskq.dead").await == 3
        }),
    )
    .await;
    execute(&pool, "update taskq.task set payload = jsonb_set(payload, '{code,$encrypted}', '\"AAAA\"') where payload ->> 'n' = '20'").await;
    execute(&pool, "alter table taskq.task add constraint not_so check (payload ->> 'n' <> '30' or payload -> 'code' ->> '$key' = '2026-11')").await;
    let (newer, lonely) = newer();
    let without = rekey(&pool, Schema::default(), &keys(&lonely))
        .await
        .expect("rekeyed");
    assert_eq!(
        (without.rewritten, without.missing_keys["2026-11"]),
        (0, 1_203)
    );
    let rekeyed = rekey(&pool, Schema::default(), &newer)
        .await
        .expect("rekeyed");
    assert_eq!(
        (
            rekeyed.rewritten,
            rekeyed.busy,
            rekeyed.damaged.len(),
            rekeyed.refused.len()
        ),
        (1_201, 0, 1, 1),
        "{rekeyed:?}"
    );
    assert!(!rekeyed.is_complete());
    execute(&pool, "alter table taskq.task drop constraint not_so").await;
    execute(&pool, "delete from taskq.task where payload ->> 'n' = '20'").await;
    let rekeyed = rekey(&pool, Schema::default(), &newer)
        .await
        .expect("rekeyed");
    assert!(
        rekeyed.is_complete() && rekeyed.rewritten == 1,
        "{rekeyed:?}"
    );
    execute(&pool, "update taskq.task set run_at = now()").await;
    drain(with_keys(&pool, &lonely), &pool).await;
    assert_eq!(count_effects(&pool).await, (1_199, 1_199));
}

/// The keys of the process, and a newer one before them; and that one alone.
fn newer() -> (Keys, String) {
    let lonely = format!("2027-01:{}", &OLD[8..]);
    (keys(&format!("{lonely} {NEW}")), lonely)
}

#[tokio::test]
async fn what_a_group_will_enqueue_gets_the_newest_key_too() {
    let (_database, pool) = database().await;
    effects(&pool).await;
    let mut tx = pool.begin().await.expect("a transaction");
    let group = Group::begin(&mut tx, unlocking(1)).await.expect("begun");
    let damaged = Group::begin(&mut tx, unlocking(2)).await.expect("begun");
    tx.commit().await.expect("committed");
    let damaged = damaged.group_id();
    execute(
        &pool,
        "update taskq.task_group set payload = jsonb_set(payload, '{code,$encrypted}', '\"AAAA\"')
         where payload ->> 'n' = '2'",
    )
    .await;
    let (keys, lonely) = newer();
    let rekeyed = rekey(&pool, Schema::default(), &keys)
        .await
        .expect("rekeyed");
    assert_eq!(
        (rekeyed.rewritten, rekeyed.busy, &rekeyed.damaged[..]),
        (1, 0, &[Owner::Group(damaged)][..])
    );
    assert_eq!(
        rekeyed.damaged[0].to_string(),
        format!("the task of group {damaged}")
    );

    let mut conn = pool.acquire().await.expect("a connection");
    group.seal(&mut conn).await.expect("sealed");
    drop(conn);
    drain(with_keys(&pool, &lonely), &pool).await;
    assert_eq!(count_effects(&pool).await, (1, 1));
    assert_eq!(one::<i64>(&pool, "select n::bigint from effect").await, 1);
}

/// As one that was running when the walk came by, and is tried again.
#[tokio::test]
async fn a_task_that_comes_back_behind_the_walk_is_busy() {
    let (_database, pool) = database().await;
    let mut conn = pool.acquire().await.expect("a connection");
    enqueue_many(&mut conn, (0..1_000).map(unlocking))
        .await
        .expect("enqueued");
    execute(
        &pool,
        "create table away as select * from taskq.task where payload ->> 'n' = '3'",
    )
    .await;
    execute(&pool, "delete from taskq.task where payload ->> 'n' = '3'").await;
    let mut holder = pool.begin().await.expect("a transaction");
    sqlx::query("select from taskq.task where payload ->> 'n' = '900' for update")
        .execute(&mut *holder)
        .await
        .expect("locked");
    let (newer, _) = newer();
    let walking = rekey(&pool, Schema::default(), &newer);
    let coming_back = async {
        until("the walk waits for the second half", async || {
            one::<bool>(
                &pool,
                "select exists (select from pg_locks where not granted)",
            )
            .await
        })
        .await;
        execute(
            &pool,
            "insert into taskq.task overriding system value select * from away",
        )
        .await;
        holder.commit().await.expect("committed");
    };
    let (rekeyed, ()) = tokio::join!(walking, coming_back);
    let rekeyed = rekeyed.expect("rekeyed");
    assert_eq!((rekeyed.rewritten, rekeyed.busy), (999, 1));
    let again = rekey(&pool, Schema::default(), &newer)
        .await
        .expect("rekeyed");
    assert!(again.is_complete() && again.rewritten == 1, "{again:?}");
}

/// A new table with payloads has to be read by `taskq.payloads_to_read`, or to be in this list.
#[tokio::test]
async fn every_place_of_a_payload_is_walked_or_said_to_need_no_key() {
    let (_database, pool) = database().await;
    let left_out: Vec<String> = sqlx::query_scalar(
        "select class.relname || '.' || attribute.attname
         from pg_attribute as attribute
         join pg_class as class on class.oid = attribute.attrelid
         join pg_type as type on type.oid = attribute.atttypid
         where class.relnamespace = 'taskq'::regnamespace
           and class.relkind in ('r', 'p')
           and not class.relispartition
           and attribute.attnum > 0
           and not attribute.attisdropped
           and (
               attribute.attname ~ 'payload' and type.typname ~ '^_?jsonb?$'
               or coalesce(nullif(type.typelem, 0), type.oid) = 'taskq.held'::regtype
           )
           and not exists (
               select
               from pg_depend
               where pg_depend.classid = 'pg_proc'::regclass
                 and pg_depend.objid = 'taskq.payloads_to_read'::regproc
                 and pg_depend.refobjid = class.oid
                 and pg_depend.refobjsubid in (attribute.attnum, 0)
           )
         order by 1",
    )
    .fetch_all(&pool)
    .await
    .expect("readable");
    assert_eq!(
        left_out,
        [
            // Completed: nobody decrypts it any more.
            "history.payload",
            // A schedule of an encrypted type is refused.
            "schedule_definition.payload",
            // The key is made of it, and no encrypted field is in a key.
            "sequence_block.payload",
        ]
    );
}

fn keyed(database: &Database, keys: Option<&str>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyed"));
    command
        .args(arguments)
        .env("DATABASE_URL", database.url())
        .env_remove("TASKQ_KEYS")
        .envs(keys.map(|keys| ("TASKQ_KEYS", keys)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn said(database: &Database, keys: Option<&str>, arguments: &[&str]) -> (String, bool) {
    let Output {
        stdout,
        stderr,
        status,
    } = keyed(database, keys, arguments)
        .output()
        .await
        .expect("it runs");
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(!text.contains(MARK), "{text}");
    (text, status.success())
}

async fn end(worker: Child) -> String {
    terminate(&worker);
    let output = worker.wait_with_output().await.expect("it ends");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// All of a rotation: the old program, the one that has both keys, and the one that has only the new.
#[tokio::test]
async fn a_key_is_changed_while_programs_with_and_without_it_run() {
    let (database, pool) = database().await;
    effects(&pool).await;
    let both = format!("{NEW},{OLD}");
    let (text, went_well) = said(&database, None, &["give", "0", "1"]).await;
    assert!(
        !went_well && text.contains("call `taskq::encryption::install`"),
        "{text}"
    );
    let (text, went_well) = said(&database, None, &["run"]).await;
    assert!(!went_well && text.contains("there are no keys"), "{text}");

    assert!(said(&database, Some(OLD), &["give", "0", "20"]).await.1);
    let old = keyed(&database, Some(OLD), &["run"])
        .spawn()
        .expect("it starts");
    until("the old program has worked", async || {
        count_effects(&pool).await.0 == 20
    })
    .await;
    // The new one enqueues, and only the old one works: nothing is lost or charged.
    assert!(said(&database, Some(&both), &["give", "20", "40"]).await.1);
    let waiting =
        "select count(*) from taskq.task where metadata ? 'task.missing_key' and attempts = 0";
    until("they wait", async || one::<i64>(&pool, waiting).await == 20).await;
    let text = end(old).await;
    assert!(
        text.contains("encrypted with a key that this worker does not have"),
        "{text}"
    );
    assert!(!text.contains(MARK), "{text}");
    execute(&pool, "update taskq.task set run_at = now()").await;
    let new = keyed(&database, Some(&both), &["run"])
        .spawn()
        .expect("it starts");
    until("the new program has worked", async || {
        count_effects(&pool).await.0 == 40
    })
    .await;
    end(new).await;

    assert!(said(&database, Some(OLD), &["give", "40", "60"]).await.1);
    let (text, is_complete) = said(&database, Some(NEW), &["rekey"]).await;
    assert!(
        !is_complete && text.contains("20 are encrypted with the key 2026-05"),
        "{text}"
    );
    let (text, is_complete) = said(&database, Some(&both), &["rekey"]).await;
    assert!(
        is_complete && text.contains("20 payloads rewritten with the key 2026-11"),
        "{text}"
    );
    let last = keyed(&database, Some(NEW), &["run"])
        .spawn()
        .expect("it starts");
    until("the last program has worked", async || {
        count_effects(&pool).await.0 == 60
    })
    .await;
    end(last).await;
    assert_eq!(count_effects(&pool).await, (60, 60));
    assert_eq!(one::<i64>(&pool, "select min(n) from effect").await, 0);
}

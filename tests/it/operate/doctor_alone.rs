//! What a doctor finds of a server that a test has for itself: elsewhere the others would see it, too.

use sqlx::{Connection, PgConnection, PgPool};
use taskq::operate::Ailment;
use taskq::testing::Cluster;

use super::doctor::{live, of};
use super::doctor_server::run;
use super::standby::{Standby, grow_old};
use crate::support::{database, execute, one, until};

/// A server with tables and a worker, and a pool.
async fn alone() -> (Cluster, PgPool) {
    let cluster = Cluster::private().await.expect("a server");
    let pool = cluster.pool("postgres", 5).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    live(&pool).await;
    (cluster, pool)
}

async fn told(pool: &PgPool, problem: &str) -> Vec<Ailment> {
    let found = taskq::operate(pool).doctor().await.expect("examined");
    found
        .into_iter()
        .filter(|it| it.problem == problem)
        .collect()
}

#[tokio::test]
async fn a_standby_that_holds_old_rows_is_told_and_so_is_its_slot_until_it_is_dropped() {
    let (_cluster, pool) = alone().await;
    let told = async || told(&pool, "open transaction").await;
    let comes = async |state: &'static str| until(state, async || one(&pool, state).await).await;
    let young: i64 = one(&pool, "select txid_current()").await;
    let young = u32::try_from(young).expect("a new server");

    let mut follower = Standby::follow(&pool, None).await;
    follower.hold(young).await;
    comes("select exists (select from pg_stat_replication where backend_xmin is not null)").await;
    assert_eq!(told().await, [], "what it holds is new");
    grow_old(&pool).await;
    let found = told().await;
    let [standby] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(standby.subject, "standby follower");
    let said = &standby.said;
    assert!(
        said.starts_with("standby follower holds old rows, 100,")
            && said.contains(" transactions behind. Vacuum removes nothing newer: 0 rows are dead"),
        "{said}"
    );
    let advice = "end the long query on it, or turn hot_standby_feedback off there";
    assert_eq!(standby.advice, advice);
    assert_eq!((&standby.command, &standby.statement), (&None, &None));
    drop(follower);
    comes("select not exists (select from pg_stat_replication)").await;
    assert_eq!(told().await, []);

    let slot = "select pg_create_physical_replication_slot('spare', true)";
    run(&pool, slot).await;
    let mut follower = Standby::follow(&pool, Some("spare")).await;
    follower.hold(young).await;
    comes("select exists (select from pg_replication_slots where xmin is not null)").await;
    let found = told().await;
    let [slot] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(slot.subject, "replication slot spare");
    let used = "replication slot spare holds old rows, in use, 100,";
    assert!(slot.said.starts_with(used), "{slot}");
    assert_eq!(slot.statement, None, "a standby uses it");
    drop(follower);
    comes("select exists (select from pg_replication_slots where not active)").await;
    let found = told().await;
    let [slot] = &found[..] else {
        panic!("{found:?}");
    };
    let unused = "replication slot spare holds old rows, used by nobody, 100,";
    assert!(slot.said.starts_with(unused), "{slot}");
    run(&pool, slot.statement.as_deref().expect("a statement")).await;
    assert_eq!(told().await, []);
}

#[tokio::test]
async fn a_transaction_that_was_prepared_and_forgotten_is_told_until_it_is_rolled_back() {
    let cluster = Cluster::private().await.expect("a server");
    let pool = cluster.pool("postgres", 1).await.expect("a pool");
    run(&pool, "alter system set max_prepared_transactions = 1").await;
    pool.close().await;
    cluster.kill().await.expect("killed");
    cluster.restart().await.expect("restarted");
    let pool = cluster.pool("postgres", 5).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    live(&pool).await;
    run(
        &pool,
        "begin; insert into taskq.task (task_type) values ('greet'); prepare transaction 'it''s left'",
    )
    .await;
    assert_eq!(told(&pool, "open transaction").await, [], "it is new");
    let old = "select said, statement from taskq.doctor(patience => '0 s') where subject like 'prepared%'";
    let found: Vec<(String, String)> = sqlx::query_as(old)
        .fetch_all(&pool)
        .await
        .expect("examined");
    let [(said, statement)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(
        said.starts_with("prepared transaction it's left has had a transaction open for "),
        "{said}"
    );
    assert!(
        said.contains(", of postgres. Vacuum removes nothing newer"),
        "{said}"
    );
    run(&pool, statement).await;
    let left: i64 = one(&pool, "select count(*) from pg_prepared_xacts").await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_role_that_has_nearly_all_its_connections_is_told() {
    let (cluster, pool) = alone().await;
    run(
        &pool,
        "create role crowded login connection limit 1; create role roomy login connection limit 2",
    )
    .await;
    assert_eq!(told(&pool, "connections").await, []);
    let url = cluster.url("postgres");
    let mut connections = Vec::new();
    for role in ["crowded", "roomy"] {
        let url = url.replace("user=postgres", &format!("user={role}"));
        connections.push(PgConnection::connect(&url).await.expect("connected"));
    }
    let found = of("connections", &told(&pool, "connections").await);
    assert_eq!(
        found,
        [
            "warning: role crowded allows 1 connection, and 1 is in use \
             -> have pools of fewer connections, or a larger connection limit; a worker needs 10"
        ]
    );
}

/// When autovacuum was last there is nowhere to be written: a test has the view say it, in its own database.
async fn autovacuum_was(pool: &PgPool, when: &'static str) {
    let view: String = one(
        pool,
        "select pg_get_viewdef('pg_catalog.pg_stat_user_tables'::regclass)",
    )
    .await;
    let column = view.find("last_autovacuum").expect("it has the column");
    let from = view[..column].rfind(['\n', ',']).expect("a line") + 1;
    let view = format!(
        "{} ({when})::timestamptz as last_autovacuum{}",
        &view[..from],
        &view[column + "last_autovacuum".len()..]
    );
    run(
        pool,
        &format!(
            "set allow_system_table_mods = on;
             create or replace view pg_catalog.pg_stat_user_tables as {view};
             reset allow_system_table_mods"
        ),
    )
    .await;
}

#[tokio::test]
async fn dead_rows_to_which_autovacuum_has_not_come_for_long_are_told() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "alter table taskq.task set (autovacuum_enabled = no);
         insert into taskq.task (task_type) select 'greet' from generate_series(1, 100002);
         delete from taskq.task where task_id > 1",
    )
    .await;
    let found = async || of("vacuum", &told(&pool, "vacuum").await).concat();
    until("it is counted", async || !found().await.is_empty()).await;
    assert_eq!(
        found().await,
        "warning: table task has 100,001 dead rows beside 1 living one, and autovacuum has never been there \
         -> see whether autovacuum is on and whether a transaction stays open, then vacuum the table: vacuum taskq.task"
    );
    autovacuum_was(&pool, "now() - interval '3 hours'").await;
    let long_ago = found().await;
    assert!(
        long_ago.contains(", and autovacuum was there 3 hours ago ->"),
        "{long_ago}"
    );
    autovacuum_was(&pool, "now() - interval '9 minutes'").await;
    assert_eq!(found().await, "", "it has just been there");
    autovacuum_was(&pool, "now() - interval '11 minutes'").await;
    assert!(!found().await.is_empty());
    run(&pool, "vacuum taskq.task").await;
    until("it is clean", async || found().await.is_empty()).await;
}

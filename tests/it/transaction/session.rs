//! A handler may do anything to its session: our statements go on, and neither the next task nor the pool sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, query, query_scalar, raw_sql};
use taskq::testing::Cluster;
use taskq::{EnqueueError, Worker, WorkerError, task};
use tokio::time::{sleep, timeout};

use super::{Given, begin};
use crate::support::{
    Log, database, drain, execute, one, states, task as find, until, while_working,
};

/// What a handler may leave behind. Each is found by `traces`.
const HABITS: &[&str] = &[
    "select set_config('app.tenant', 'a', false)",
    "set app.tenant = 'b'",
    "set local app.tenant = 'c'",
    "set search_path = pg_temp",
    "set statement_timeout = '1ms'",
    "set lock_timeout = '1ms'",
    "set timezone = 'Asia/Tokyo'",
    "set role bystander",
    "set local role bystander",
    "set session authorization bystander",
    "set session characteristics as transaction read only",
    "set default_transaction_isolation = serializable",
    "set transaction read only",
    "create temporary table left_behind (n int)",
    "create temporary table left_behind (n int) on commit drop",
    "select pg_advisory_lock(1)",
    "select pg_advisory_xact_lock(1)",
    "declare left_behind cursor with hold for select 1",
    "listen left_behind",
    "set synchronous_commit = off; set row_security = off; set app.tenant = 'd'",
    "create temporary sequence left_behind; select nextval('left_behind')",
    "savepoint mine; set app.tenant = 'e'; release savepoint mine",
    "set constraints all deferred",
];

/// Says what a session is like that a new one is not.
async fn traces(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    query_scalar(
        "select trace from (values
             ('tenant ' || current_setting('app.tenant', true)),
             (case when current_setting('search_path') <> '\"$user\", public' then 'path' end),
             (case when current_setting('statement_timeout') <> '0' then 'statement' end),
             (case when current_setting('lock_timeout') <> '0' then 'lock' end),
             (case when current_setting('timezone') <> 'UTC' then 'timezone' end),
             (case when current_setting('role') <> 'none' then 'role' end),
             (case when session_user <> 'postgres' then 'user' end),
             (case when current_setting('default_transaction_read_only') <> 'off' then 'read' end),
             (case when current_setting('transaction_read_only') <> 'off' then 'reads' end),
             (case when current_setting('default_transaction_isolation') <> 'read committed' then 'isolation' end),
             (case when current_setting('row_security') <> 'on' then 'row security' end),
             (case when to_regclass('pg_temp.left_behind') is not null then 'table' end),
             (case when exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) then 'locked' end),
             (case when exists (select from pg_cursors where is_holdable) then 'cursor' end),
             (case when exists (select from pg_listening_channels()) then 'channel' end)
         ) as traces (trace) where trace is not null and trace <> 'tenant '",
    )
    .persistent(false)
    .fetch_all(db)
    .await
}

/// Returns what is left on the connections that lie in the pool, and what is prepared there by name.
async fn traces_in(pool: &PgPool) -> Vec<String> {
    sleep(Duration::from_millis(200)).await;
    let (mut connections, mut found) = (Vec::new(), Vec::new());
    while let Some(mut connection) = pool.try_acquire() {
        found.extend(traces(&mut connection).await.expect("answered"));
        let prepared: Vec<String> =
            query_scalar("select name from pg_prepared_statements where from_sql")
                .persistent(false)
                .fetch_all(&mut *connection)
                .await
                .expect("answered");
        found.extend(prepared);
        connections.push(connection);
    }
    assert!(!connections.is_empty());
    found
}

async fn bystander(pool: &PgPool) {
    execute(
        pool,
        "do $$ begin create role bystander; exception when others then null; end $$",
    )
    .await;
}

fn alone(pool: &PgPool) -> taskq::WorkerBuilder {
    Worker::builder(pool.clone()).queue("default", 1)
}

#[tokio::test]
async fn neither_the_next_task_nor_the_pool_sees_what_a_handler_did_to_its_session() {
    #[task(max_attempts = 1)]
    async fn leaves(tx: &mut Given, habit: String) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
        let traces = traces(tx).await?;
        anyhow::ensure!(traces.is_empty(), "before {habit}: {traces:?}");
        raw_sql(AssertSqlSafe(habit)).execute(tx).await?;
        Ok(())
    }

    let (_database, pool) = database().await;
    bystander(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    for habit in HABITS {
        for _ in 0..2 {
            Leaves::enqueue(&mut db, (*habit).to_owned())
                .await
                .expect("enqueued");
        }
    }
    drop(db);
    drain(alone(&pool).only::<(Leaves,)>().keep_completed(true), &pool).await;
    let wrong: Vec<String> = query_scalar("select errors::text from taskq.dead")
        .fetch_all(&pool)
        .await
        .expect("read");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(traces_in(&pool).await, [""; 0]);
}

#[tokio::test]
async fn what_a_failed_or_stopped_handler_did_to_its_session_is_gone_too() {
    #[task(max_attempts = 2)]
    async fn leaves(tx: &mut Given, attempt: &taskq::Attempt, habit: String) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
        let traces = traces(tx).await?;
        if !traces.is_empty() {
            Err(taskq::outcome::discard(format!("{habit}: {traces:?}")))?;
        }
        raw_sql(AssertSqlSafe(habit)).execute(&mut *tx).await?;
        match attempt.task_id() % 3 {
            0 => Err(taskq::outcome::discard("as wished"))?,
            1 => Err(taskq::outcome::snooze(Duration::from_secs(3600)))?,
            _ => query("select 1 / 0").execute(tx).await?,
        };
        Ok(())
    }

    let (_database, pool) = database().await;
    bystander(&pool).await;
    let mut db = pool.acquire().await.expect("a connection");
    for habit in HABITS {
        for _ in 0..3 {
            Leaves::enqueue(&mut db, (*habit).to_owned())
                .await
                .expect("enqueued");
        }
    }
    drop(db);
    while_working(
        alone(&pool).only::<(Leaves,)>(),
        until("all tried", async || {
            let due = "select count(*) from taskq.tasks where state = 'running' or state = 'waiting' and attempts = 0 and run_at < now() + interval '1 minute'";
            one::<i64>(&pool, due).await == 0
        }),
    )
    .await;
    let wrong: Vec<String> =
        query_scalar("select errors::text from taskq.tasks where errors::text not like '%as wished%' and errors::text not like '%division%'")
            .fetch_all(&pool)
            .await
            .expect("read");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(traces_in(&pool).await, [""; 0]);
}

#[tokio::test]
async fn handlers_that_deallocate_or_prepare_statements_disturb_nobody() {
    #[task(max_attempts = 1)]
    async fn deallocates(tx: &mut Given) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        raw_sql("deallocate all").execute(tx).await.map(drop)
    }
    #[task(max_attempts = 1)]
    async fn prepares(tx: &mut Given) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        raw_sql("prepare mine as select 1")
            .execute(tx)
            .await
            .map(drop)
    }
    #[task(max_attempts = 1)]
    async fn asks(tx: &mut Given, n: i64) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        query("select $1::bigint + 1")
            .bind(n)
            .execute(tx)
            .await
            .map(drop)
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for n in 0..30 {
        match n % 3 {
            0 => drop(Deallocates::enqueue(&mut db).await.expect("enqueued")),
            1 => drop(Prepares::enqueue(&mut db).await.expect("enqueued")),
            _ => drop(Asks::enqueue(&mut db, n).await.expect("enqueued")),
        }
    }
    drop(db);
    let worker = alone(&pool).only::<(Deallocates, Prepares, Asks)>();
    drain(worker, &pool).await;
    assert!(states(&pool).await.is_empty(), "{:?}", states(&pool).await);
    assert_eq!(traces_in(&pool).await, [""; 0]);
}

#[tokio::test]
async fn an_enqueue_whose_statement_somebody_deallocated_is_not_charged() {
    #[task]
    async fn child() {}
    #[task(max_attempts = 1)]
    async fn parent(tx: &mut Given, runs: &AtomicUsize) -> Result<(), EnqueueError> {
        let tx = begin(tx).await.map_err(sqlx::Error::from)?;
        Child::enqueue(tx).await?;
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            raw_sql("deallocate all").execute(&mut *tx).await?;
        }
        Child::enqueue(tx).await.map(drop)
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Parent::enqueue(&mut db).await.expect("enqueued");
    drop(db);
    let runs = Arc::new(AtomicUsize::new(0));
    let worker = alone(&pool).only::<(Parent, Child)>();
    drain(worker.state_arc(runs.clone()), &pool).await;
    assert!(states(&pool).await.is_empty(), "{:?}", states(&pool).await);
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_query_that_its_handler_gave_up_is_cancelled_and_named() {
    #[task(max_attempts = 1)]
    async fn impatient(tx: &mut Given) {
        let tx = begin(tx).await.expect("begun");
        let slow = query("select pg_sleep(60)").execute(tx);
        timeout(Duration::from_millis(50), slow)
            .await
            .expect_err("it takes long");
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let task_id = Impatient::enqueue(&mut db).await.expect("enqueued").task_id;
    drop(db);
    let began = std::time::Instant::now();
    drain(alone(&pool).only::<(Impatient,)>(), &pool).await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let row = find(&pool, task_id).await.expect("dead");
    assert!(
        row.error()
            .contains("returned while a query of its transaction was running"),
        "{}",
        row.error()
    );
}

#[tokio::test]
async fn connections_of_the_pool_that_others_have_spoiled_are_put_right_or_replaced() {
    #[task(max_attempts = 1)]
    async fn looks(tx: &mut Given, n: i64) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
        let traces = traces(tx).await?;
        anyhow::ensure!(traces.is_empty(), "{traces:?}");
        query("insert into effect values ($1)")
            .bind(n)
            .execute(tx)
            .await?;
        Ok(())
    }

    let (database, setting_up) = database().await;
    bystander(&setting_up).await;
    crate::support::effects(&setting_up).await;
    let spoilers = [
        "begin; select 1 / 0",
        "begin; insert into effect values (-1)",
        "set session characteristics as transaction read only",
        "set role bystander",
        "set search_path = pg_temp",
        "set default_transaction_isolation = serializable",
        "deallocate all",
        "begin isolation level serializable read only",
    ];
    let pool = database.pool_of(8);
    let mut connections = Vec::new();
    for spoiler in spoilers {
        let mut connection = pool.acquire().await.expect("a connection");
        query("select pg_backend_pid()")
            .execute(&mut *connection)
            .await
            .expect("answered");
        let _ = raw_sql(spoiler).execute(&mut *connection).await;
        connections.push(connection);
    }
    let mut forgotten = connections.pop().expect("one");
    std::mem::forget(forgotten.begin().await);
    connections.push(forgotten);
    let mut db = setting_up.acquire().await.expect("a connection");
    for n in 0..40 {
        Looks::enqueue(&mut db, n).await.expect("enqueued");
    }
    drop(db);
    drop(connections);
    let worker = Worker::builder(pool.clone()).queue("default", 2);
    drain(worker.only::<(Looks,)>(), &setting_up).await;
    let wrong: Vec<String> = query_scalar("select errors::text from taskq.dead")
        .fetch_all(&setting_up)
        .await
        .expect("read");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(crate::support::count_effects(&setting_up).await, (40, 40));
}

#[tokio::test]
async fn what_the_pool_does_to_each_new_connection_is_left_as_it_is() {
    #[task(max_attempts = 1)]
    async fn changes(tx: &mut Given) -> anyhow::Result<()> {
        let tx = begin(tx).await?;
        let kept: String = query_scalar(
            "select current_setting('application_name') || current_setting('app.kept') || current_setting('search_path') || current_user",
        )
        .fetch_one(&mut *tx)
        .await?;
        anyhow::ensure!(kept == "a;'$q$bpg_catalogowning", "{kept}");
        raw_sql("set app.kept = 'no'; set application_name = 'no'; set search_path = public; reset role")
            .execute(tx)
            .await?;
        Ok(())
    }

    let (database, setting_up) = database().await;
    execute(
        &setting_up,
        "do $$ begin create role owning; exception when others then null; end $$;
         grant all on schema taskq to owning; grant all on all tables in schema taskq to owning;
         grant usage on all sequences in schema taskq to owning",
    )
    .await;
    // A setting of one's own is known to Postgres by its name alone, so it belongs there.
    let options = database.connect_options().options([("app.kept", "b")]);
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .after_connect(|connection, _| {
            Box::pin(async move {
                raw_sql("set application_name = 'a;''$q$'; set search_path = pg_catalog; set role owning; prepare kept as select 1")
                    .execute(connection)
                    .await
                    .map(drop)
            })
        })
        .connect_lazy_with(options);
    let mut db = setting_up.acquire().await.expect("a connection");
    for _ in 0..6 {
        Changes::enqueue(&mut db).await.expect("enqueued");
    }
    drop(db);
    drain(alone(&pool).only::<(Changes,)>(), &setting_up).await;
    let wrong: Vec<String> = query_scalar("select errors::text from taskq.dead")
        .fetch_all(&setting_up)
        .await
        .expect("read");
    assert!(wrong.is_empty(), "{wrong:#?}");
    sleep(Duration::from_millis(200)).await;
    let mut connections = Vec::new();
    while let Some(mut connection) = pool.try_acquire() {
        let kept: String = query_scalar("select current_setting('application_name') || current_setting('app.kept') || current_user")
            .fetch_one(&mut *connection)
            .await
            .expect("answered");
        assert_eq!(kept, "a;'$q$bowning");
        connections.push(connection);
    }
}

#[tokio::test]
async fn a_worker_does_not_start_on_a_standby_and_backs_off_when_its_server_becomes_one() {
    #[task(max_attempts = 1)]
    async fn writes(tx: &mut Given, n: i64) -> sqlx::Result<()> {
        let tx = begin(tx).await?;
        query("insert into effect values ($1)")
            .bind(n)
            .execute(&mut *tx)
            .await?;
        query("select pg_sleep(1)").execute(tx).await.map(drop)
    }

    let log = Log::capture();
    let cluster = Cluster::private_on_disk().await.expect("a server");
    let pool = cluster.pool("postgres", 20).await.expect("a pool");
    taskq::migrate(&pool).await.expect("migrated");
    crate::support::effects(&pool).await;
    let data: String = one(&pool, "select current_setting('data_directory')").await;
    let mut db = pool.acquire().await.expect("a connection");
    for n in 0..30 {
        Writes::enqueue(&mut db, n).await.expect("enqueued");
    }
    drop(db);
    let reachable = async || query("select 1").execute(&pool).await.is_ok();
    let worker = Worker::builder(pool.clone()).queue("default", 5);
    while_working(worker.only::<(Writes,)>(), async {
        until("at work", async || {
            one::<i64>(&pool, "select count(*) from effect").await > 0
        })
        .await;
        execute(&pool, "checkpoint").await;
        std::fs::write(format!("{data}/standby.signal"), "").expect("written");
        cluster.kill().await.expect("killed");
        cluster.restart().await.expect("restarted");
        until("reachable", reachable).await;
        let refused = Worker::builder(pool.clone()).only::<(Writes,)>();
        let refused = refused.build().await.expect_err("refused");
        assert!(matches!(refused, WorkerError::Standby), "{refused:?}");
        assert!(refused.to_string().contains("primary"), "{refused}");
        let warnings = || log.text().matches("WARN").count();
        let before = warnings();
        sleep(Duration::from_secs(8)).await;
        let later = warnings() - before;
        assert!(
            later < 20,
            "{later} warnings in eight seconds:\n{}",
            log.text()
        );
        std::fs::remove_file(format!("{data}/standby.signal")).expect("removed");
        cluster.kill().await.expect("killed");
        cluster.restart().await.expect("restarted");
        until("over", async || {
            let left = query_scalar::<_, i64>(
                "select count(*) from taskq.tasks where state <> 'discarded'",
            );
            left.fetch_one(&pool).await.is_ok_and(|left| left == 0)
        })
        .await;
    })
    .await;
    assert!(states(&pool).await.is_empty(), "{:?}", states(&pool).await);
    assert_eq!(crate::support::count_effects(&pool).await, (30, 30));
}

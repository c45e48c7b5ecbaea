//! A server that is there and does not serve: read-only, without room, without a connection to
//! spare, or not there at all.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, query_scalar};
use taskq_tests::history::{Event, How, Plan};
use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::stage::{LEASE, ONCE, REPEATABLE, Stage, seed, skip, until};

/// Longer than a lease, so that what is held is lost.
const LONG: Duration = Duration::from_millis(2_700);

#[tokio::test]
async fn all_is_well_after_the_server_was_read_only() {
    seed();
    let stage = Stage::own().await;
    enqueue_a_mixture(&stage, 50, 30).await;
    let _workers = Vec::from_iter((0..2).map(|_| stage.worker().start()));
    for _ in 0..2 {
        stage.at_least(50).await;
        set_read_only(&stage, true).await;
        sleep(LONG).await;
        set_read_only(&stage, false).await;
        enqueue_a_mixture(&stage, 20, 30).await;
    }
    stage.ends_well().await;
}

pub(crate) async fn set_read_only(stage: &Stage, is_read_only: bool) {
    stage.fault(format!("read-only: {is_read_only}"));
    stage
        .execute(if is_read_only {
            "alter system set default_transaction_read_only = on"
        } else {
            "alter system reset default_transaction_read_only"
        })
        .await;
    stage.execute("select pg_reload_conf()").await;
    let expected = if is_read_only { "on" } else { "off" };
    until("reloaded", async || {
        // A new connection, so that the answer is the server's.
        let mut db = PgConnection::connect(&stage.url).await.expect("connected");
        let setting: String =
            query_scalar("select current_setting('default_transaction_read_only')")
                .fetch_one(&mut db)
                .await
                .expect("a setting");
        setting == expected
    })
    .await;
}

#[tokio::test]
async fn all_is_well_after_the_disk_was_full() {
    seed();
    let disk = match Disk::make(256) {
        Ok(disk) => disk,
        Err(why) => return skip(&why),
    };
    let stage = Stage::own().await;
    disk.hold_tasks(&stage).await;
    enqueue_a_mixture(&stage, 40, 30).await;
    let _workers = Vec::from_iter((0..2).map(|_| stage.worker().start()));
    for _ in 0..2 {
        stage.at_least(20).await;
        stage.fault("the disk is full");
        disk.fill();
        let refused = sqlx::query(
            "insert into taskq.task (task_type, payload)
             select 'large', jsonb_build_object('n', repeat(md5(random()::text), 100)) from generate_series(1, 5000)",
        )
        .execute(&stage.pool)
        .await
        .expect_err("there is no room");
        let code = refused.as_database_error().and_then(|it| it.code());
        assert_eq!(code.as_deref(), Some("53100"), "{refused}");
        sleep(LONG).await;
        disk.clear();
        enqueue_a_mixture(&stage, 20, 30).await;
    }
    stage.ends_well().await;
}

/// A small file system in memory, with the tables of tasks on it.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Makes one of this size, or says why that is not possible.
    pub(crate) fn make(megabytes: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can mount a small disk".to_owned());
        }
        let path = std::env::temp_dir().join(format!("taskq-disk-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).map_err(|error| error.to_string())?;
        let disk = Self(path);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={megabytes}m,mode=0755"))
            .arg("tmpfs")
            .arg(&disk.0)
            .output()
            .map_err(|error| format!("`mount`: {error}"))?;
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr);
            return Err(format!("a small disk cannot be mounted: {}", why.trim()));
        }
        let space = disk.0.join("space");
        fs::create_dir(&space).map_err(|error| error.to_string())?;
        // The user that the server runs as when it is started by root.
        chown(&space, Some(65_534), Some(65_534)).map_err(|error| error.to_string())?;
        Ok(disk)
    }

    /// Moves the tables there.
    pub(crate) async fn hold_tasks(&self, stage: &Stage) {
        let space = self.0.join("space");
        for statement in [
            format!("create tablespace small location '{}'", space.display()),
            "alter table all in tablespace pg_default set tablespace small".to_owned(),
            "alter index all in tablespace pg_default set tablespace small".to_owned(),
        ] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&stage.pool)
                .await
                .expect("moved");
        }
    }

    pub(crate) fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).expect("a file");
        for size in [1 << 20, 4_096] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub(crate) fn clear(&self) {
        let _ = fs::remove_file(self.0.join("filler"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server may be stopping on it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test]
async fn all_is_well_when_there_are_fewer_connections_than_the_pool_allows() {
    seed();
    let stage = Stage::own().await;
    let url = limited(&stage).await;
    enqueue_a_mixture(&stage, 40, 30).await;
    // It asks for fifteen.
    let _worker = stage.worker().set("DATABASE_URL", &url).start();
    stage.at_least(20).await;
    // And then there are none at all.
    stage.fault("no connections");
    stage.execute("alter role limited connection limit 0").await;
    end_connections(&stage).await;
    sleep(LONG).await;
    stage
        .execute("alter role limited connection limit 10")
        .await;
    enqueue_a_mixture(&stage, 20, 30).await;
    // Others are faster.
    let mut others = Vec::new();
    while let Ok(other) = PgConnection::connect(&url).await {
        others.push(other);
    }
    sleep(LONG).await;
    drop(others);
    stage.ends_well().await;
}

/// Makes a role that may have ten connections, and returns the address of the database for it.
pub(crate) async fn limited(stage: &Stage) -> String {
    stage
        .execute(
            "create role limited login connection limit 10;
             grant all on schema taskq to limited;
             grant all on all tables in schema taskq, public to limited;
             grant all on all sequences in schema taskq to limited;
             grant execute on all functions in schema taskq to limited",
        )
        .await;
    stage.url.replace("user=postgres", "user=limited")
}

pub(crate) async fn end_connections(stage: &Stage) {
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where usename = 'limited' and pid <> pg_backend_pid()",
    )
    .execute(&stage.pool)
    .await
    .expect("ended");
}

/// Each loop of a worker goes on after the server was away: it claims, is woken, keeps its lease,
/// writes outcomes, rescues, and says that it is alive.
#[tokio::test]
async fn every_loop_survives_that_the_server_is_away() {
    let stage = Stage::own().await;
    let mut worker = stage.worker().set("POLL_MS", 600_000).start();
    until("registered", async || {
        stage.count("select count(*) from taskq.worker").await == 1
    })
    .await;
    stage.history.record(Event::ServerKilled);
    stage.cluster().kill().await.expect("killed");
    // Long enough for each loop to fail more than once.
    sleep(Duration::from_secs(5)).await;
    stage.cluster().restart().await.expect("restarted");
    until("reachable", async || {
        sqlx::query("select 1").execute(&stage.pool).await.is_ok()
    })
    .await;
    until("listening", async || {
        stage
            .count("select count(*) from pg_stat_activity where query like '/* taskq pauses */%'")
            .await
            == 1
    })
    .await;
    // What a process left behind that is dead.
    stage.enqueue(REPEATABLE, 1, 0).await;
    stage.over().await;
    stage.execute("delete from taskq.worker").await;
    until("registered again", async || {
        stage.count("select count(*) from taskq.worker").await == 1
    })
    .await;
    sleep(Duration::from_secs(1)).await;
    let began = std::time::Instant::now();
    stage.enqueue(REPEATABLE, 1, 0).await;
    stage.over().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "it was woken, or polled soon: {:?}",
        began.elapsed()
    );
    let mut predecessor = stage
        .worker()
        .set("QUEUE", "other")
        .set("TASKQ_CRASH_AT", "after_claim")
        .start();
    stage.enqueue_in("other", REPEATABLE, 3, 0).await;
    predecessor.ended().await;
    stage.run_leases_out().await;
    until("rescued", async || {
        stage.count("select count(*) from taskq.lease").await == 0
    })
    .await;
    assert!(worker.has_ended().is_none());
    let _successor = stage.worker().set("QUEUE", "other").start();
    stage.ends_well().await;
}

/// An outcome waits to be written while the server is away; the rest of its lease is given up all
/// the same when its time comes.
#[tokio::test]
async fn leases_are_given_up_in_time_while_an_outcome_waits_for_the_server() {
    let stage = Stage::own().await;
    stage.enqueue(REPEATABLE, 1, 400).await;
    stage.enqueue(REPEATABLE, 1, 60_000).await;
    let _worker = stage.worker().set("CONCURRENCY", 2).start();
    stage.at_least(2).await;
    // So that the claim is on disk.
    stage.execute("checkpoint").await;
    stage.cluster().kill().await.expect("killed");
    sleep(LEASE + LEASE / 4).await;
    let ends: Vec<How> = stage
        .read_history()
        .iter()
        .flatten()
        .filter_map(|entry| match entry.event {
            Event::Ended { how, .. } => Some(how),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [How::Succeeded, How::Dropped]);
}

/// A row that Postgres refuses to take back does not hold up the outcomes beside it. Its task is set aside, and
/// runs again when it is taken back.
#[tokio::test]
async fn an_outcome_that_postgres_refuses_stands_in_nobodys_way() {
    let stage = Stage::shared().await;
    stage
        .execute("alter table taskq.dead add constraint refused check (task_type <> 'repeatable')")
        .await;
    let fails = Plan {
        failures: 3,
        max_attempts: 3,
        ..REPEATABLE
    };
    stage.enqueue(fails, 1, 100).await;
    stage.enqueue(REPEATABLE, 5, 100).await;
    stage
        .execute("update taskq.task set attempts = 2 where payload ->> 'failures' = '3'")
        .await;
    let worker = stage.worker().start();
    until("the others are over", async || {
        stage.count("select count(*) from taskq.tasks").await == 1
    })
    .await;
    until("it is set aside", async || {
        stage.count("select count(*) from taskq.refused").await == 1
    })
    .await;
    stage
        .execute(
            "alter table taskq.dead drop constraint refused;
             update taskq.refused set attempts = 2;
             select taskq.take_back(task_id) from taskq.refused",
        )
        .await;
    stage.ends_well().await;
    drop(worker);
}

/// Pages of leases whose tasks Postgres refuses to take back lie before one that it takes.
#[tokio::test]
async fn the_rescuer_gets_past_pages_of_leases_that_postgres_refuses_to_take_back() {
    let stage = Stage::shared().await;
    // Transactional tasks have a lease each.
    stage.enqueue(ONCE, 251, 0).await;
    while stage.count("select count(*) from taskq.lease").await < 251 {
        let mut predecessor = stage
            .worker()
            .set("CONCURRENCY", 251)
            .set("TASKQ_CRASH_AT", "after_claim")
            .start();
        predecessor.ended().await;
    }
    stage
        .execute(
            "create function refuse() returns trigger language plpgsql as $$
             begin raise exception 'refused'; end $$;
             create trigger refuse before insert on taskq.task for each row
             when ((new.payload ->> 'n')::integer <= 250) execute function refuse();
             update taskq.lease set expires_at = now() - case
                 when task_ids = array[(select max(id) from taskq.lease as other, unnest(other.task_ids) as id)]
                 then interval '1 second'
                 else interval '1 hour'
             end",
        )
        .await;
    let _worker = stage.worker().start();
    until("the last one was rescued and has run", async || {
        stage.count("select count(*) from effect").await == 1
    })
    .await;
    // One that somebody else looked at in that moment comes with the next round.
    until("all others are set aside", async || {
        stage.count("select count(*) from taskq.lease").await == 0
    })
    .await;
    assert_eq!(stage.count("select count(*) from taskq.refused").await, 250);
    stage
        .execute(
            "drop trigger refuse on taskq.task;
             select taskq.take_back(task_id) from taskq.refused",
        )
        .await;
    stage.ends_well().await;
}

/// Everything that locks several rows does so in one order.
#[tokio::test]
async fn nothing_deadlocks_where_claims_outcomes_heartbeats_and_rescues_meet() {
    seed();
    let stage = Stage::shared().await;
    stage
        .execute("do $$ begin execute format('alter database %I set deadlock_timeout = ''20ms''', current_database()); end $$")
        .await;
    // Short leases: heartbeats and rescues all the time.
    let _workers = Vec::from_iter((0..4).map(|_| {
        let worker = stage.worker().set("LEASE_MS", 500);
        worker.set("CONCURRENCY", 30).start()
    }));
    for _ in 0..10 {
        enqueue_a_mixture(&stage, 10, fastrand::u64(0..100)).await;
        // Leases run out under the hands of those who hold them. Locked in the order in which all others lock them.
        sqlx::query(
            "update taskq.lease set expires_at = now() - interval '1 second'
             where lease_id = any (array(
                 select lease_id from taskq.lease where random() < 0.2 order by lease_id for update
             ))",
        )
        .execute(&stage.pool)
        .await
        .ok();
        sleep(Duration::from_millis(300)).await;
    }
    stage.over().await;
    // Reported by a backend some time after.
    sleep(Duration::from_millis(1_500)).await;
    let deadlocks = stage
        .count("select deadlocks from pg_stat_database where datname = current_database()")
        .await;
    assert_eq!(deadlocks, 0);
}

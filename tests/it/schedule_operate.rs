//! What people and programs say of schedules while workers run.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{query, query_scalar};
use taskq::OperateError;
use taskq::operate::{Removed, Schedule, Upserted};
use taskq::schedule::{CatchUp, Overlap};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::schedules::{Idle, Report, miss, status, ticking, until_taken, waiting};
use crate::support::{database, one, while_working};

/// A tick and a pause at the same moment: the tick has committed before the pause, or takes nothing.
#[tokio::test]
async fn a_tick_never_comes_after_the_pause_that_it_met() {
    const ROUNDS: usize = 1_000;
    const TICK: &str = include_str!("../../taskq/src/store/sql/schedule/tick.sql");
    const COUNT: &str =
        "select count(*) from taskq.task where metadata -> 'schedule.tick' ->> 'schedule' = 'r'";
    let (_database, pool) = database().await;
    let (mut ticker, mut pauser) =
        tokio::try_join!(pool.acquire(), pool.acquire()).expect("connections");
    let upsert = "select taskq.upsert_schedule('r', '* * * * * *', 'nobody runs it')";
    query(upsert).execute(&mut *ticker).await.expect("made");
    let mut ticked = 0;
    for round in 0..ROUNDS {
        let again = "update taskq.schedule set owed_after = '2000-01-01', revision = revision + 1 where name = 'r' returning revision";
        let revision: i64 = query_scalar(again)
            .fetch_one(&mut *ticker)
            .await
            .expect("moved");
        let nominal = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        // Which of them is first is for the server to say.
        let lead = Duration::from_micros(fastrand::u64(0..1_000));
        let tick = async {
            if fastrand::bool() {
                sleep(lead).await;
            }
            let tick = query_scalar::<_, i64>(TICK)
                .bind("r")
                .bind(revision)
                .bind(vec![nominal])
                .bind(vec![0.0])
                .bind(nominal)
                .bind(nominal + TimeDelta::seconds(1))
                .bind(0_i64);
            tick.fetch_optional(&mut *ticker)
                .await
                .expect("said")
                .unwrap_or(0)
        };
        let pause = async {
            let pause = query("select taskq.pause_schedule('r')").execute(&mut *pauser);
            pause.await.expect("paused");
            let seen: i64 = query_scalar(COUNT)
                .fetch_one(&mut *pauser)
                .await
                .expect("counted");
            seen
        };
        let (taken, seen) = tokio::join!(tick, pause);
        assert_eq!(
            seen, taken,
            "round {round}: a tick after the pause had returned"
        );
        ticked += taken;
        let resume = "select taskq.resume_schedule('r')";
        query(resume).execute(&mut *pauser).await.expect("resumed");
        query("delete from taskq.task")
            .execute(&mut *pauser)
            .await
            .expect("deleted");
    }
    println!("{ticked} of {ROUNDS} ticks came before the pause");
    assert!(ticked > 0 && ticked < 1_000, "{ticked}: they did not meet");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_what_to_write() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    for (expression, zone, said) in [
        (
            "0 25 * * *",
            "UTC",
            "the hour `25` is not allowed: write 0 to 23",
        ),
        ("0 0 30 2 *", "UTC", "never comes"),
        (
            "0 0 * * *",
            "Europe/Zurihc",
            "did you mean `Europe/Zurich`?",
        ),
    ] {
        let error = schedules
            .upsert("x", expression, zone, Idle {})
            .await
            .expect_err(expression);
        assert!(error.to_string().contains(said), "{error}");
    }
    let contradiction = schedules
        .upsert("x", "@daily", "UTC", Idle {})
        .catch_up(CatchUp::None)
        .catch_up_within(Duration::from_secs(1));
    assert!(matches!(
        contradiction.await,
        Err(OperateError::Refused { .. })
    ));
    let error = schedules
        .run_now("x")
        .await
        .expect_err("absent")
        .to_string();
    assert_eq!(error, "there is no schedule x");
    assert_eq!(schedules.remove("x").await.expect("said"), Removed::Absent);
    assert!(schedules.list().await.expect("the list").is_empty());
    for (call, said) in [
        (
            "'', '@daily', 'x'",
            "the name of a schedule has 1 to 200 bytes",
        ),
        ("'x', ' ', 'x'", "a schedule needs a cron expression"),
        (
            "'x', '@daily', 'x', options => '{\"delay\": 5}'",
            "a schedule has no option \"delay\"",
        ),
        (
            "'x', '@daily', 'x', options => '{\"quue\": 5}'",
            "there is no option \"quue\"",
        ),
        (
            "'x', '@daily', 'x', options => '{\"catch_up\": \"some\"}'",
            "it is none, once or all",
        ),
        (
            "'x', '@daily', 'x', options => '{\"overlap\": \"some\"}'",
            "it is allow, skip or one_waiting",
        ),
        ("'x', '@daily', 'x', null", "a schedule needs a payload"),
    ] {
        let call = format!("select taskq.upsert_schedule({call})");
        let error = query(sqlx::AssertSqlSafe(call))
            .execute(&pool)
            .await
            .expect_err(said);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn upserts_of_one_name_at_once_leave_one_schedule() {
    let (_database, pool) = database().await;
    let mut upserts = JoinSet::new();
    for n in 0..16 {
        let pool = pool.clone();
        upserts.spawn(async move {
            let mut db = pool.acquire().await.expect("a connection");
            let mut schedules = taskq::schedules(&mut db);
            let expression = format!("{n} * * * *");
            schedules
                .upsert("x", &expression, "UTC", Idle {})
                .await
                .expect("said")
        });
    }
    let said = upserts.join_all().await;
    assert_eq!(
        said.iter().filter(|it| **it == Upserted::Created).count(),
        1
    );
    for table in ["schedule", "schedule_definition"] {
        let count = format!("select count(*) from taskq.{table}");
        let count: i64 = query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&pool)
            .await
            .expect("a count");
        assert_eq!(count, 1, "{table}");
    }
    let mut db = pool.acquire().await.expect("a connection");
    let expression = status(&pool, "x").await.expression;
    let again = taskq::schedules(&mut db)
        .upsert("x", &expression, "UTC", Idle {})
        .await;
    assert_eq!(again.expect("said"), Upserted::Unchanged);
}

#[tokio::test]
async fn once_a_pause_has_committed_no_tick_is_taken() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let made = schedules.upsert("x", "* * * * * *", "UTC", Report { customer: 1 });
    made.catch_up(CatchUp::All).await.expect("made");
    let now: DateTime<Utc> = one(&pool, "select now()").await;
    let ticks = async || one::<i64>(&pool, "select ticks from taskq.schedule").await;
    let operator = taskq::operate(&pool).as_user("ada");
    while_working(ticking(&pool), async {
        for _ in 0..40 {
            // As fast as it can.
            miss(&pool, "x", now - TimeDelta::hours(10)).await;
            sleep(Duration::from_millis(fastrand::u64(0..15))).await;
            operator
                .pause(Schedule("x"))
                .because("a test")
                .await
                .expect("paused");
            let before = ticks().await;
            sleep(Duration::from_millis(20)).await;
            assert_eq!(ticks().await, before);
            let former = operator.resume(Schedule("x")).await.expect("resumed");
            assert_eq!(
                former.map(|it| it.to_string().contains("schedule x paused")),
                Some(true)
            );
        }
    })
    .await;
    assert!(ticks().await > 0);
}

#[tokio::test]
async fn run_now_runs_a_paused_schedule_and_shifts_nothing() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let made = schedules.upsert("x", "0 0 1 1 *", "UTC", Report { customer: 1 });
    made.overlap(Overlap::Skip).await.expect("made");
    while_working(ticking(&pool), until_taken(&pool, "x")).await;
    let mut schedules = taskq::schedules(&mut db);
    schedules.pause("x").await.expect("paused");
    let before = status(&pool, "x").await;
    let task_id = schedules.run_now("x").await.expect("run");
    let after = status(&pool, "x").await;
    assert_eq!(before.next_tick, after.next_tick);
    assert_eq!((after.ticks, after.last_tick), (0, None));
    // The next tick sees that it is there.
    assert_eq!(after.last_task_ids, [task_id]);
    assert_eq!(waiting(&pool, "x").await.len(), 1);
}

#[tokio::test]
async fn a_backfill_enqueues_the_ticks_of_a_span_in_order() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let made = schedules.upsert(
        "x",
        "0 9 * * MON-FRI",
        "Europe/Zurich",
        Report { customer: 1 },
    );
    made.await.expect("made");
    let utc = |text| DateTime::parse_from_rfc3339(text).expect("a time").to_utc();
    let span = utc("2026-03-26T00:00:00Z")..utc("2026-03-31T07:00:00Z");
    let mut tx = taskq::begin(&pool).await.expect("begun");
    let ids = taskq::schedules(&mut tx)
        .backfill("x", span)
        .await
        .expect("enqueued");
    tx.commit().await.expect("committed");
    assert_eq!(ids.len(), 3);
    assert!(ids.is_sorted());
    let expected = [
        "2026-03-26T08:00:00Z",
        "2026-03-27T08:00:00Z",
        "2026-03-30T07:00:00Z",
    ];
    assert_eq!(waiting(&pool, "x").await, expected.map(utc));
    let mut schedules = taskq::schedules(&mut db);
    let future = utc("2026-03-26T00:00:00Z")..Utc::now() + TimeDelta::days(30);
    let error = schedules
        .backfill("x", future)
        .await
        .expect_err("future")
        .to_string();
    assert!(error.contains("a backfill ends in the past"), "{error}");
    let years = utc("2010-03-26T00:00:00Z")..utc("2020-03-26T00:00:00Z");
    let error = schedules
        .backfill("x", years)
        .await
        .expect_err("too many")
        .to_string();
    assert!(error.contains("take shorter spans"), "{error}");
}

#[tokio::test]
async fn a_removed_schedule_is_gone_with_its_pause() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    schedules
        .upsert("x", "* * * * * *", "UTC", Idle {})
        .await
        .expect("made");
    schedules.pause("x").await.expect("paused");
    assert_eq!(schedules.remove("x").await.expect("removed"), Removed::Gone);
    assert_eq!(schedules.remove("x").await.expect("said"), Removed::Absent);
    assert_eq!(
        schedules
            .upsert("x", "@daily", "UTC", Idle {})
            .await
            .expect("made"),
        Upserted::Created
    );
    assert_eq!(status(&pool, "x").await.pause, None);
}

//! Ticks that were missed, and what is not owed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use sqlx::{PgPool, query, query_scalar};
use taskq::operate::Upserted;
use taskq::schedule::{CatchUp, Overlap, SkipReason};

use crate::schedules::{Idle, Report, miss, status, ticking, until_taken, waiting};
use crate::support::{Log, database, execute, one, while_working};

/// An hourly expression of the minutes from so many minutes ago to so many, and these ticks.
async fn minutes_ago(pool: &PgPool, from: i64, to: i64) -> (String, Vec<DateTime<Utc>>) {
    let now: DateTime<Utc> = one(pool, "select now()").await;
    let minute = now
        - TimeDelta::nanoseconds(i64::from(now.nanosecond()))
        - TimeDelta::seconds(i64::from(now.second()));
    let ticks: Vec<_> = (to..=from)
        .rev()
        .map(|ago| minute - TimeDelta::minutes(ago))
        .collect();
    let minutes: Vec<_> = ticks.iter().map(|tick| tick.minute().to_string()).collect();
    (format!("{} * * * *", minutes.join(",")), ticks)
}

#[tokio::test]
async fn ten_minutes_without_workers_are_caught_up_as_the_policy_says() {
    let (_database, pool) = database().await;
    let (expression, ticks) = minutes_ago(&pool, 9, 3).await;
    let mut db = pool.acquire().await.expect("a connection");
    for (name, catch_up) in [
        ("none", CatchUp::None),
        ("once", CatchUp::Once),
        ("all", CatchUp::All),
    ] {
        let mut schedules = taskq::schedules(&mut db);
        let made = schedules
            .upsert(name, &expression, "UTC", Idle {})
            .catch_up(catch_up);
        made.await.expect("made");
        miss(&pool, name, ticks[0] - TimeDelta::seconds(1)).await;
    }
    let log = Log::capture();
    while_working(ticking(&pool).queue("other", 1), async {
        for name in ["none", "once", "all"] {
            until_taken(&pool, name).await;
        }
    })
    .await;
    // Each runs as it was enqueued, so the rows are gone; the counts stay.
    let count = async |name| {
        let status = status(&pool, name).await;
        (status.ticks, status.skipped_missed, status.last_tick)
    };
    assert_eq!(count("none").await, (0, 7, None));
    assert_eq!(count("once").await, (1, 6, ticks.last().copied()));
    assert_eq!(count("all").await, (7, 0, ticks.last().copied()));
    let skips = async |name| {
        let skips = status(&pool, name).await.skips.into_iter();
        skips.map(|it| (it.why, it.number)).collect::<Vec<_>>()
    };
    assert_eq!(skips("none").await, [(SkipReason::Missed, Some(7))]);
    assert_eq!(skips("once").await, [(SkipReason::Missed, Some(6))]);
    assert_eq!(skips("all").await, []);
    assert!(
        log.has("ticks were missed and are left out"),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn two_weeks_without_workers_are_caught_up_in_order_and_not_without_end() {
    let (_database, pool) = database().await;
    let now: DateTime<Utc> = one(&pool, "select now()").await;
    let mut db = pool.acquire().await.expect("a connection");
    let day = Duration::from_secs(24 * 3600);
    for (name, catch_up, within) in [
        ("none", CatchUp::None, None),
        ("once", CatchUp::Once, None),
        ("all", CatchUp::All, None),
        ("all of an hour", CatchUp::All, Some(day / 24)),
        ("all of weeks", CatchUp::All, Some(day * 30)),
    ] {
        let mut schedules = taskq::schedules(&mut db);
        // Of a type that nobody runs.
        let mut made = schedules
            .upsert(name, "* * * * *", "UTC", Report { customer: 1 })
            .catch_up(catch_up);
        if let Some(within) = within {
            made = made.catch_up_within(within);
        }
        made.await.expect("made");
        miss(&pool, name, now - TimeDelta::days(14)).await;
    }
    while_working(ticking(&pool), async {
        for name in ["none", "once", "all", "all of an hour", "all of weeks"] {
            until_taken(&pool, name).await;
        }
    })
    .await;
    for (name, least, most) in [
        ("none", 0, 2),
        ("once", 1, 2),
        ("all", 1000, 1002),
        ("all of an hour", 59, 61),
        ("all of weeks", 1000, 1002),
    ] {
        let status = status(&pool, name).await;
        assert!((least..=most).contains(&status.ticks), "{status}");
        let all = status.ticks + status.skipped_missed;
        assert!((14 * 24 * 60..14 * 24 * 60 + 3).contains(&all), "{status}");
        let waiting = waiting(&pool, name).await;
        assert_eq!(waiting.len() as i64, status.ticks);
        assert!(waiting.is_sorted(), "{name}");
    }
}

#[tokio::test]
async fn nothing_before_it_was_made_edited_resumed_or_renamed_is_owed() {
    let (_database, pool) = database().await;
    let (_, past) = minutes_ago(&pool, 9, 3).await;
    let (every_minute, started) = (
        "* * * * *",
        one::<DateTime<Utc>>(&pool, "select now()").await,
    );
    let mut names = Vec::new();
    for catch_up in [CatchUp::None, CatchUp::Once, CatchUp::All] {
        let mut db = pool.acquire().await.expect("a connection");
        let name = |what: &str| format!("{what} {catch_up:?}");
        let mut schedules = taskq::schedules(&mut db);
        for what in ["made", "edited", "moved", "paused", "paused for a while"] {
            let made = schedules.upsert(&name(what), every_minute, "UTC", Report { customer: 1 });
            made.catch_up(catch_up).await.expect("made");
        }
        // These would owe what they have missed.
        for what in ["edited", "moved", "paused", "paused for a while"] {
            miss(&pool, &name(what), past[0]).await;
        }
        let mut schedules = taskq::schedules(&mut db);
        let edited = schedules.upsert(
            &name("edited"),
            "*/1 * * * *",
            "UTC",
            Report { customer: 1 },
        );
        assert_eq!(
            edited.catch_up(catch_up).await.expect("edited"),
            Upserted::Changed
        );
        let moved = schedules.upsert(
            &name("moved"),
            every_minute,
            "Asia/Kathmandu",
            Report { customer: 1 },
        );
        moved.catch_up(catch_up).await.expect("moved");
        schedules.pause(&name("paused")).await.expect("paused");
        schedules.resume(&name("paused")).await.expect("resumed");
        // Its pause has ended by itself.
        query(
            "insert into taskq.pause (scope, name, since, until)
             values ('schedule', $1, now() - interval '1 hour', now())",
        )
        .bind(name("paused for a while"))
        .execute(&pool)
        .await
        .expect("paused");
        // One of another name is another one.
        let renamed = schedules.upsert(
            &name("renamed"),
            every_minute,
            "UTC",
            Report { customer: 1 },
        );
        renamed.catch_up(catch_up).await.expect("made");
        let whats = [
            "made",
            "edited",
            "moved",
            "paused",
            "paused for a while",
            "renamed",
        ];
        names.extend(whats.map(name));
    }
    while_working(ticking(&pool), async {
        for name in &names {
            until_taken(&pool, name).await;
        }
    })
    .await;
    for name in &names {
        let early: Vec<_> = waiting(&pool, name)
            .await
            .into_iter()
            .filter(|tick| *tick <= started)
            .collect();
        assert!(early.is_empty(), "{name}: {early:?}");
        let status = status(&pool, name).await;
        assert_eq!(status.skipped_missed, 0, "{status}");
    }
}

#[tokio::test]
async fn an_edit_of_something_else_than_the_times_leaves_what_is_owed() {
    let (_database, pool) = database().await;
    let (expression, ticks) = minutes_ago(&pool, 5, 3).await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let made = schedules.upsert("x", &expression, "UTC", Report { customer: 1 });
    made.await.expect("made");
    miss(&pool, "x", ticks[0]).await;
    let mut schedules = taskq::schedules(&mut db);
    let edited = schedules.upsert("x", &expression, "UTC", Report { customer: 2 });
    assert_eq!(edited.await.expect("edited"), Upserted::Changed);
    while_working(ticking(&pool), until_taken(&pool, "x")).await;
    assert_eq!(waiting(&pool, "x").await, [ticks[2]]);
    assert_eq!(
        one::<i64>(
            &pool,
            "select (payload ->> 'customer')::bigint from taskq.task"
        )
        .await,
        2
    );
}

#[tokio::test]
async fn an_hour_in_which_nobody_runs_its_tasks_leaves_one_waiting() {
    let (_database, pool) = database().await;
    let now: DateTime<Utc> = one(&pool, "select now()").await;
    let mut db = pool.acquire().await.expect("a connection");
    for (name, overlap) in [
        ("skip", Overlap::Skip),
        ("one waiting", Overlap::OneWaiting),
    ] {
        let mut schedules = taskq::schedules(&mut db);
        let made = schedules.upsert(name, "* * * * *", "UTC", Report { customer: 1 });
        made.overlap(overlap)
            .catch_up(CatchUp::All)
            .await
            .expect("made");
        miss(&pool, name, now - TimeDelta::hours(1)).await;
    }
    while_working(ticking(&pool), async {
        until_taken(&pool, "skip").await;
        until_taken(&pool, "one waiting").await;
    })
    .await;
    for name in ["skip", "one waiting"] {
        assert_eq!(waiting(&pool, name).await.len(), 1);
        let status = status(&pool, name).await;
        assert!((59..=61).contains(&status.skipped_overlap), "{status}");
        // One stretch, however often a worker looked: they were left out because of one task.
        let [skip] = &status.skips[..] else {
            panic!("{:?}", status.skips);
        };
        assert_eq!(skip.number, Some(status.skipped_overlap));
        assert_eq!(
            (skip.why, skip.task_id),
            (SkipReason::Overlap, status.last_task_ids.last().copied())
        );
        let said = format!("task {} was still there", status.last_task_ids[0]);
        assert!(skip.to_string().ends_with(&said), "{skip}");
    }
}

#[tokio::test]
async fn a_schedule_remembers_the_last_five_stretches_that_were_left_out_and_why() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let made = schedules.upsert("x", "* * * * *", "UTC", Report { customer: 1 });
    made.await.expect("made");
    for _ in 0..7 {
        schedules.pause("x").await.expect("paused");
        execute(
            &pool,
            "update taskq.schedule set next_tick = now() - interval '1 hour'",
        )
        .await;
        schedules.resume("x").await.expect("resumed");
    }
    // Nothing would have come.
    schedules.pause("x").await.expect("paused");
    execute(
        &pool,
        "update taskq.schedule set next_tick = now() + interval '1 hour'",
    )
    .await;
    schedules.resume("x").await.expect("resumed");
    let skips = status(&pool, "x").await.skips;
    assert_eq!(skips.len(), 5);
    assert!(
        skips
            .iter()
            .all(|it| it.why == SkipReason::Paused && it.number.is_none())
    );
    assert!(skips.is_sorted_by_key(|it| it.to));
    assert!(skips[0].to_string().ends_with("the schedule was paused"));
}

#[tokio::test]
async fn jitter_puts_off_the_task_and_not_the_tick() {
    let (_database, pool) = database().await;
    let (expression, ticks) = minutes_ago(&pool, 5, 5).await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db);
    let jitter = Duration::from_secs(59 * 60);
    for n in 0..20 {
        let made = schedules.upsert(&n.to_string(), &expression, "UTC", Report { customer: n });
        made.jitter(jitter).await.expect("made");
    }
    for n in 0..20 {
        miss(&pool, &n.to_string(), ticks[0] - TimeDelta::seconds(1)).await;
    }
    while_working(ticking(&pool), async {
        for n in 0..20 {
            until_taken(&pool, &n.to_string()).await;
        }
    })
    .await;
    let run_at: Vec<DateTime<Utc>> = query_scalar("select run_at from taskq.task order by run_at")
        .fetch_all(&pool)
        .await
        .expect("tasks");
    assert_eq!(run_at.len(), 20);
    assert!(run_at.iter().all(|it| *it < ticks[0] + TimeDelta::hours(1)));
    let spread = run_at[19] - run_at[0];
    assert!(spread > TimeDelta::minutes(15), "{spread}");
    for n in 0..20 {
        assert_eq!(waiting(&pool, &n.to_string()).await, ticks);
    }
}

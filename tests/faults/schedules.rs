//! Schedules while the workers that take their ticks die, stand still and have wrong clocks.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::process::Signal;
use serde_json::json;
use sqlx::query_scalar;
use tokio::time::sleep;

use crate::clock::liar;
use crate::stage::{Running, Stage, seed};

const SCHEDULES: [&str; 3] = ["a", "b", "c"];

/// Schedules that tick each second, of a type that nobody runs, and catch up what they miss.
async fn schedules(stage: &Stage) {
    for name in SCHEDULES {
        sqlx::query("select taskq.upsert_schedule($1, '* * * * * *', 'nobody runs it', options => '{\"catch_up\": \"all\"}')")
            .bind(name)
            .execute(&stage.pool)
            .await
            .expect("made");
    }
}

/// Says which ticks of a schedule were taken twice or not at all.
async fn wrong_ticks(stage: &Stage) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in SCHEDULES {
        let ticks: Vec<DateTime<Utc>> = query_scalar(
            "select (metadata -> 'schedule.tick' ->> 'at')::timestamptz as at from taskq.task
             where metadata -> 'schedule.tick' ->> 'schedule' = $1 order by at",
        )
        .bind(name)
        .fetch_all(&stage.pool)
        .await
        .expect("the tasks");
        for (tick, next) in ticks.iter().zip(ticks.iter().skip(1)) {
            if *next - *tick != TimeDelta::seconds(1) {
                wrong.push(format!("{name}: {tick}, then {next}"));
            }
        }
        let moved: i64 = query_scalar("select ticks from taskq.schedule where name = $1")
            .bind(name)
            .fetch_one(&stage.pool)
            .await
            .expect("the schedule");
        if usize::try_from(moved) != Ok(ticks.len()) || ticks.len() < 5 {
            wrong.push(format!("{name}: {moved} ticks, and {} tasks", ticks.len()));
        }
    }
    wrong
}

/// Starts workers that die at a crash point, one after the other, for so long: always one whose clock is right, one whose
/// clock is a minute and a half slow, and one whose clock is as much fast.
async fn die_again_and_again(stage: &Stage, time: Duration) {
    let began = Instant::now();
    let liar = liar();
    let mut workers: Vec<(Running, i64)> = Vec::new();
    let mut deaths = 0;
    while began.elapsed() < time {
        workers.retain_mut(|(worker, _)| match worker.has_ended() {
            Some(_) => {
                deaths += 1;
                false
            }
            None => true,
        });
        for wrong_by in [-90, 0, 90] {
            if workers.iter().any(|(_, other)| *other == wrong_by) {
                continue;
            }
            let point = ["before_tick", "after_tick", "before_duty"][fastrand::usize(0..3)];
            let at = format!("{point}:{}", fastrand::u8(1..8));
            let mut actor = stage
                .worker()
                .set("QUEUE", "nothing")
                .set("TASKQ_CRASH_AT", at);
            if let Some(liar) = liar {
                actor = actor.with_clock(liar, wrong_by);
            }
            workers.push((actor.start(), wrong_by));
        }
        sleep(Duration::from_millis(fastrand::u64(50..400))).await;
        let (worker, _) = &mut workers[fastrand::usize(0..3)];
        match fastrand::u8(0..4) {
            0 => worker.kill(),
            1 => {
                worker.signal(Signal::STOP);
                sleep(Duration::from_millis(300)).await;
                worker.signal(Signal::CONT);
            }
            _ => {}
        }
    }
    assert!(deaths > 5, "{deaths} deaths");
    drop(workers);
}

/// Lets one worker take what is left, and pauses.
async fn finish(stage: &Stage) {
    let _worker = stage.worker().set("QUEUE", "nothing").start();
    sleep(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn each_tick_is_taken_once_though_workers_die_between_statements_and_clocks_are_wrong() {
    seed();
    let stage = Stage::shared().await;
    schedules(&stage).await;
    die_again_and_again(&stage, Duration::from_secs(12)).await;
    finish(&stage).await;
    let wrong = wrong_ticks(&stage).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn each_tick_is_taken_once_though_postgres_dies() {
    seed();
    let stage = Stage::own().await;
    schedules(&stage).await;
    let _workers = Vec::from_iter((0..3).map(|_| stage.worker().set("QUEUE", "nothing").start()));
    for _ in 0..3 {
        sleep(Duration::from_millis(fastrand::u64(1500..2500))).await;
        stage.cluster().kill().await.expect("killed");
        stage.cluster().restart().await.expect("restarted");
    }
    sleep(Duration::from_secs(6)).await;
    let wrong = wrong_ticks(&stage).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What would be found if a tick were no longer taken by one statement: the fence of the schedule's row is left out.
#[tokio::test]
async fn a_tick_that_moves_its_schedule_on_without_a_fence_is_found() {
    seed();
    let stage = Stage::shared().await;
    schedules(&stage).await;
    let edits = json!([
        {"statement": "tick", "from": "and schedule.revision = $2", "to": "and $2 is not null"},
        {"statement": "tick", "from": "and schedule.owed_after < $5", "to": ""},
        {"statement": "tick", "from": "for update of schedule skip locked", "to": "and pg_sleep(0.05) is not null"},
    ]);
    let planted = || {
        stage
            .worker()
            .set("QUEUE", "nothing")
            .set("TASKQ_EDITS", &edits)
    };
    let _workers = Vec::from_iter((0..4).map(|_| planted().start()));
    let began = Instant::now();
    while wrong_ticks(&stage).await.is_empty() || began.elapsed() < Duration::from_secs(6) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the plant was not found"
        );
        sleep(Duration::from_millis(300)).await;
    }
    let wrong = wrong_ticks(&stage).await;
    assert!(wrong.iter().any(|it| it.contains(", then ")), "{wrong:#?}");
}

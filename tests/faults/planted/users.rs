//! Bugs that show where users do to taskq's tables and sessions what they may.

use rustix::process::Signal;
use taskq_tests::history::Plan;

use super::{is_found, plants};
use crate::operator::take_back;
use crate::stage::{ONCE, REPEATABLE, Stage, until};

/// A check of a user's refuses tasks that have failed.
#[tokio::test]
async fn a_refused_task_that_is_lost_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage
            .execute("alter table taskq.task add constraint fresh check (attempts = 0)")
            .await;
        let fails_once = Plan {
            failures: 1,
            ..REPEATABLE
        };
        stage.enqueue(fails_once, 3, 0).await;
        stage.enqueue(REPEATABLE, 20, 0).await;
        let _worker = stage.worker().with_bug(plant).start();
        stage.over().await;
        stage
            .execute("alter table taskq.task drop constraint fresh")
            .await;
        take_back(&stage).await.expect("taken back");
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::REFUSED_IS_LOST, scenario, "is lost").await;
}

#[tokio::test]
async fn a_lock_that_a_handler_leaves_to_the_next_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage
            .execute("do $$ begin create role bystander; exception when others then null; end $$")
            .await;
        stage.enqueue(ONCE, 60, 0).await;
        let worker = stage.worker().with_bug(plant).set("SESSIONS", true);
        let _worker = worker.set("CONCURRENCY", 1).start();
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::LOCKS_STAY, scenario, "on its session: a lock").await;
}

/// A worker that is asked to stop hands its tasks back.
#[tokio::test]
async fn a_charge_for_a_task_that_was_handed_back_is_found() {
    let scenario = async |plant| {
        let stage = Stage::shared().await;
        stage.enqueue(REPEATABLE, 3, 2_000).await;
        let mut first = stage.worker().with_bug(plant).start();
        stage.at_least(3).await;
        first.signal(Signal::TERM);
        first.ended().await;
        let _second = stage.worker().start();
        until("begun again", async || stage.attempts() >= 6).await;
        stage.over().await;
        stage.judged().await
    };
    is_found(plants::HAND_BACK_CHARGED, scenario, "got to attempt 2").await;
}

//! Bugs of groups and waits.

use taskq_tests::history::Plan;

use super::plants::{self, Plant};
use super::{Judged, is_found};
use crate::soak::company::{end_waits, seal_all};
use crate::stage::company::{KINDS, Wave, encrypt};
use crate::stage::{Finale, REPEATABLE, Stage};

/// Tasks of each kind, as members of groups and not, some of which are given up.
async fn scenario(plant: Option<Plant>) -> Judged {
    encrypt();
    let stage = Stage::shared().await;
    stage.plant(plant).await;
    let mut waiters = vec![stage.worker().with_bug(plant).set("WAITS", true).start()];
    let mut db = stage.pool.acquire().await.expect("a connection");
    let given_up = Plan {
        failures: 2,
        max_attempts: 2,
        ..REPEATABLE
    };
    for kind in KINDS {
        for (plan, is_group) in [(REPEATABLE, true), (given_up, true), (given_up, false)] {
            let wave = Wave {
                kind,
                plan,
                count: 3,
                takes_ms: 5,
                is_group,
                finale: Finale::Commit,
            };
            let enqueued = stage.enqueue_company(&mut db, wave).await;
            enqueued.expect("enqueued");
        }
    }
    seal_all(&stage).await;
    let worker = stage.worker().with_bug(plant).set("COMPANY", true);
    let _worker = worker.start();
    stage.over().await;
    end_waits(&mut waiters).await;
    stage.judged().await
}

#[tokio::test]
async fn a_group_that_does_not_count_some_of_its_members_is_found() {
    is_found(plants::DISCARDED_NOT_COUNTED, scenario, "joined").await;
}

#[tokio::test]
async fn a_group_whose_task_is_enqueued_twice_is_found() {
    is_found(plants::GROUP_ENDS_TWICE, scenario, "was told 2 times").await;
}

#[tokio::test]
async fn who_is_told_the_result_of_another_is_found() {
    is_found(plants::ANOTHER_RESULT, scenario, "was told 0").await;
}

#[tokio::test]
async fn who_is_told_nothing_is_found() {
    is_found(plants::NOBODY_TOLD, scenario, "were told nothing").await;
}

//! What concerns one of the tasks, and not the others of its batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use taskq::error::WorkerError;
use taskq::{Batch, task};
use tokio::sync::Notify;

use super::{Counted, CountsHandler, Sizes, counting, enqueue, errors};
use crate::support::{
    database, drain, execute, leave_behind, one, states, until, while_working, worker,
};

#[tokio::test]
async fn a_payload_that_does_not_decode_leaves_the_batch_alone() {
    let (_database, pool) = database().await;
    enqueue(&pool, (0..20).map(|n| Counted { n })).await;
    execute(
        &pool,
        "update taskq.task set payload = '{\"n\": \"seven\"}' where payload @> '{\"n\": 7}'",
    )
    .await;
    let sizes = Arc::new(Sizes::default());
    drain(counting(&pool, &sizes), &pool).await;
    assert_eq!(sizes.all(), [19]);
    assert_eq!(
        states(&pool).await.into_iter().collect::<Vec<_>>(),
        [("invalid".into(), 1)]
    );
}

#[tokio::test]
async fn one_that_expired_does_not_run_and_the_others_do() {
    let (_database, pool) = database().await;
    enqueue(&pool, (0..5).map(|n| Counted { n })).await;
    execute(
        &pool,
        "update taskq.task set metadata = jsonb_build_object('task.expires', '2020-01-01T00:00:00Z') where payload @> '{\"n\": 3}'",
    )
    .await;
    let sizes = Arc::new(Sizes::default());
    drain(counting(&pool, &sizes), &pool).await;
    assert_eq!(sizes.all(), [4]);
    assert_eq!(states(&pool).await.get("expired"), Some(&1));
}

#[tokio::test]
async fn suspects_of_a_crash_run_alone() {
    let (_database, pool) = database().await;
    enqueue(&pool, (0..6).map(|n| Counted { n })).await;
    leave_behind(&pool).await;
    enqueue(&pool, (6..10).map(|n| Counted { n })).await;
    let sizes = Arc::new(Sizes::default());
    drain(counting(&pool, &sizes), &pool).await;
    let mut sizes = sizes.all();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 1, 1, 1, 1, 4]);
}

#[derive(Serialize, Deserialize, taskq::Payload)]
struct Told {
    n: i64,
}

#[task]
async fn is_told(
    #[batch(3, "1s")] all: Vec<Told>,
    batch: &Batch,
    begun: &Notify,
    seen: &AtomicUsize,
) {
    begun.notify_one();
    let at = all.iter().position(|it| it.n == 1).expect("it is there");
    batch[at].cancelled().await;
    let cancelled = batch.iter().filter(|it| it.is_cancelled()).count();
    seen.fetch_add(cancelled, Ordering::SeqCst);
}

#[tokio::test]
async fn one_that_an_operator_cancels_is_told_and_the_others_complete() {
    let (_database, pool) = database().await;
    enqueue(&pool, (0..3).map(|n| Told { n })).await;
    let (begun, seen) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let telling = worker(&pool)
        .only::<(IsToldHandler,)>()
        .state_arc(begun.clone())
        .state_arc(seen.clone());
    while_working(telling, async {
        begun.notified().await;
        let task_id = "select task_id from taskq.tasks where payload @> '{\"n\": 1}'";
        let task_id = one::<i64>(&pool, task_id).await;
        let operator = taskq::operate(&pool).as_user("ada");
        operator.cancel(task_id).await.expect("cancelled");
        let ended = async || states(&pool).await.into_keys().eq(["cancelled"]);
        until("the others completed", ended).await;
    })
    .await;
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[derive(Serialize, Deserialize, taskq::Payload)]
#[taskq(max_attempts = 1)]
struct Card {
    n: i64,
    #[taskq(secret)]
    number: String,
}

#[task]
async fn charge_cards(#[batch(5, "1s")] cards: Vec<Card>) -> Result<(), String> {
    let numbers: Vec<_> = cards.iter().map(|card| &*card.number).collect();
    Err(format!(
        "{} cards refused: {}",
        cards[0].n,
        numbers.join(", ")
    ))
}

#[tokio::test]
async fn what_is_said_of_one_tells_the_secrets_of_none() {
    let (_database, pool) = database().await;
    let card = |n| Card {
        n,
        number: format!("4000-{n}{n}{n}{n}-1234"),
    };
    enqueue(&pool, (1..=5).map(card)).await;
    drain(worker(&pool).only::<(ChargeCardsHandler,)>(), &pool).await;
    let errors = errors(&pool).await;
    let said = "1 cards refused: ***, ***, ***, ***, ***";
    assert_eq!(errors.len(), 5);
    assert!(errors.iter().all(|(_, error)| error == said), "{errors:?}");
}

#[tokio::test]
async fn a_batch_that_hangs_is_handed_back_uncharged_when_its_worker_stops() {
    #[derive(Serialize, Deserialize, taskq::Payload)]
    struct Hung {
        n: i64,
    }
    #[task]
    async fn hung(#[batch(3, "1s")] all: Vec<Hung>, begun: &Notify) {
        assert!(all[0].n >= 0);
        begun.notify_one();
        std::future::pending().await
    }
    let (_database, pool) = database().await;
    enqueue(&pool, (0..3).map(|n| Hung { n })).await;
    let begun = Arc::new(Notify::new());
    let hanging = worker(&pool)
        .only::<(HungHandler,)>()
        .state_arc(begun.clone())
        .grace_period(std::time::Duration::from_millis(50));
    while_working(hanging, begun.notified()).await;
    let waiting = "select count(*) from taskq.tasks where state = 'waiting' and attempts = 0 and errors is null";
    assert_eq!(one::<i64>(&pool, waiting).await, 3);
}

#[tokio::test]
async fn the_tasks_of_a_batch_are_asked_for_in_a_handler_of_many_alone() {
    #[task]
    async fn asks_in_vain(batch: &Batch) {
        assert!(batch.len() > 1);
    }
    let (_database, pool) = database().await;
    let built = worker(&pool)
        .only::<(AsksInVain, CountsHandler)>()
        .build()
        .await;
    let Err(WorkerError::MissingState(missing)) = built else {
        panic!("it has none")
    };
    assert_eq!(missing.len(), 3);
    let text = WorkerError::MissingState(missing).to_string();
    let why = "Batch`, which only a handler of many payloads is given (`#[batch]`): take `&taskq::Attempt`";
    assert!(text.contains(why), "{text}");
}

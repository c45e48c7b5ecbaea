//! The stream of what a worker does.

use std::sync::Arc;

use futures_util::StreamExt;
use sqlx::PgConnection;
use taskq::events::{Event, Lagged};
use taskq::{AttemptOutcome, task};
use tokio::sync::Notify;

use crate::lease::fence::steal;
use crate::support::{database, states, until, worker};

#[task]
async fn tick() {}

#[task]
async fn tock(_tx: &mut PgConnection) {}

#[tokio::test]
async fn a_subscriber_hears_of_a_worker_from_its_start_to_its_end() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..3 {
        Tick::enqueue(&mut db).await.expect("enqueued");
        Tock::enqueue(&mut db).await.expect("enqueued");
    }
    let worker = worker(&pool).only::<(Tick, Tock)>().build();
    let worker = worker.await.expect("the worker starts");
    let (id, events) = (worker.id(), worker.events());
    let (one, two) = (events.subscribe(), events.subscribe());
    let done = until("done", async || states(&pool).await.is_empty());
    worker.run_until(done).await.expect("it stops");
    for subscription in [one, two] {
        let heard: Vec<_> = subscription
            .map(|it| it.expect("none is lost"))
            .collect()
            .await;
        assert_eq!(heard.len(), 9, "{heard:#?}");
        assert!(matches!(heard[0], Event::WorkerStarted { worker_id } if worker_id == id));
        assert!(matches!(heard[8], Event::WorkerStopped { .. }));
        let stopping = heard
            .iter()
            .filter(|it| matches!(it, Event::WorkerStopping { .. }));
        assert_eq!(stopping.count(), 1);
        let completed = heard.iter().filter(|it| {
            matches!(it, Event::AttemptEnded(it) if it.outcome == AttemptOutcome::Completed && it.worker_id == id)
        });
        assert_eq!(completed.count(), 6);
    }
    assert!(events.subscribe().next().await.is_none(), "it has ended");
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_slows_nothing_and_is_told_what_it_has_lost() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..17_000).map(|_| Tick {});
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued");
    let worker = worker(&pool).only::<(Tick,)>().build();
    let worker = worker.await.expect("the worker starts");
    let mut stalled = worker.events().subscribe();
    let done = until("all completed", async || states(&pool).await.is_empty());
    worker.run_until(done).await.expect("it stops");
    // With the start and the two of the end.
    let lost = 17_000 + 3 - 16_384;
    let first = stalled.next().await.expect("told").expect_err("it lagged");
    assert_eq!(first, Lagged(lost));
    assert_eq!(
        first.to_string(),
        "619 events were lost, because they were read too slowly"
    );
    assert_eq!(stalled.count().await, 16_384, "the rest is there");
}

#[tokio::test]
async fn of_two_workers_only_the_one_whose_outcome_counts_says_that_the_task_completed() {
    #[task]
    async fn contested(release: &Notify) {
        release.notified().await;
    }

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    Contested::enqueue(&mut db).await.expect("enqueued");
    let (first_release, second_release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let built = async |release: &Arc<Notify>| {
        let worker = worker(&pool)
            .only::<(Contested,)>()
            .state_arc(release.clone());
        worker.build().await.expect("the worker starts")
    };
    let first = built(&first_release).await;
    let second = built(&second_release).await;
    let mut of_first = first.events().subscribe();
    let mut of_second = second.events().subscribe();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let is_stopped = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|it| *it).await;
        }
    };
    let started = async || {
        until("running", async || {
            states(&pool).await.get("running") == Some(&1)
        })
        .await;
    };
    let test = async {
        started().await;
        steal(&pool).await;
        let second = second.run_until(is_stopped());
        let test = async {
            // The first may take it again. Then it has two places that wait.
            started().await;
            first_release.notify_one();
            let lost = async {
                loop {
                    if let Event::AttemptEnded(it) =
                        of_first.next().await.expect("it runs").expect("no lag")
                    {
                        break it;
                    }
                }
            };
            assert_eq!(lost.await.outcome, AttemptOutcome::Lost);
            first_release.notify_one();
            second_release.notify_one();
            until("completed", async || states(&pool).await.is_empty()).await;
            stop.send(true).expect("heard");
        };
        let (ended, ()) = tokio::join!(second, test);
        ended.expect("it stops");
    };
    let (ended, ()) = tokio::join!(first.run_until(is_stopped()), test);
    ended.expect("it stops");
    let mut completed = 0;
    for events in [&mut of_first, &mut of_second] {
        while let Some(event) = events.next().await {
            if let Event::AttemptEnded(it) = event.expect("no lag") {
                assert_eq!(it.outcome, AttemptOutcome::Completed);
                completed += 1;
            }
        }
    }
    assert_eq!(completed, 1);
}

//! Tasks of several types in one enqueue, each with its own options.

use std::time::Duration;

use taskq::unique::{OnConflict, Unique};
use taskq::{EnqueueError, EnqueueOutcome, Many, NewTask, task};

use super::{Kept, Member, all};
use crate::support::{database, drain, execute, one, while_working};

#[task(queue = "other", priority = 9, max_attempts = 7, expires = "1h")]
async fn declares(a: i64) {
    let _ = a;
}

#[task(unique = "payload")]
async fn single(a: i64) {
    let _ = a;
}

/// Postgres counts what it is asked.
#[tokio::test]
async fn tasks_of_several_types_go_in_one_statement_each_with_its_own_options() {
    let (_database, pool) = database().await;
    let mut many = Many::new();
    assert!(many.is_empty());
    let first = many.push(Member { how: "".into() });
    let second = many.push(
        NewTask::of(Declares { a: 2 })
            .queue("third")
            .priority(-1)
            .max_attempts(2),
    );
    let third = many.push(Declares { a: 3 });
    let fourth = many.push(NewTask::of(Single { a: 4 }).delay(Duration::from_secs(60)));
    let fifth = many.push(Single { a: 4 });
    let sixth = many.push(
        NewTask::of(Member { how: "".into() })
            .metadata("who", "ada")
            .unique_key("x"),
    );
    let seventh = many.push(NewTask::of(Declares { a: 7 }).expires(Duration::from_secs(5)));
    assert_eq!(many.len(), 7);
    execute(
        &pool,
        "create table asked (n bigint); create function note() returns trigger language plpgsql as
        $$ begin insert into asked values (txid_current()); return null; end $$;
        create trigger note after insert on taskq.task for each statement execute function note()",
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let enqueued = many.enqueue(&mut db).await.expect("enqueued");
    let transactions: i64 = one(&pool, "select count(distinct n) from asked").await;
    assert_eq!(
        transactions, 1,
        "outside of a transaction each statement has its own"
    );
    let outcomes: Vec<_> = enqueued.tasks().map(|(_, outcome)| outcome).collect();
    use EnqueueOutcome::{Created, Existing};
    assert_eq!(
        outcomes,
        [
            Created, Created, Created, Created, Existing, Created, Created
        ]
    );
    assert_eq!(enqueued.get(fourth).task_id, enqueued.get(fifth).task_id);
    let rows: Vec<String> = one(
        &pool,
        "select array_agg(format('%s %s %s %s %s %s %s', task_id, task_type, payload, queue, priority, max_attempts, metadata)
            order by task_id) from taskq.task",
    )
    .await;
    let id = [
        first.into_id(&enqueued),
        second.into_id(&enqueued),
        third.into_id(&enqueued),
    ];
    let keyed = [fourth.into_id(&enqueued), sixth.into_id(&enqueued)];
    let mut expected = vec![
        format!("{} member {{\"how\": \"\"}} default 0 2 ", id[0]),
        format!("{} declares {{\"a\": 2}} third -1 2 ", id[1]),
        format!("{} declares {{\"a\": 3}} other 9 7 ", id[2]),
        format!(
            "{} declares {{\"a\": 7}} other 9 7 {{\"task.expires\": 5.0}}",
            seventh.into_id(&enqueued)
        ),
        format!(
            "{} member {{\"how\": \"\"}} default 0 2 {{\"who\": \"ada\"}}",
            keyed[1]
        ),
        format!("{} single {{\"a\": 4}} default 0 25 ", keyed[0]),
    ];
    let number = |row: &String| row.split(' ').next().and_then(|id| id.parse::<i64>().ok());
    expected.sort_by_key(number);
    assert_eq!(rows, expected);
    assert!(id.is_sorted());
}

trait IntoId {
    fn into_id(self, enqueued: &taskq::EnqueuedMany) -> i64;
}

impl<P> IntoId for taskq::Place<P> {
    fn into_id(self, enqueued: &taskq::EnqueuedMany) -> i64 {
        enqueued.get(self).task_id
    }
}

#[tokio::test]
async fn none_is_nothing_and_tens_of_thousands_come_in_their_order() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let none = Many::new().enqueue(&mut db).await.expect("nothing to do");
    assert_eq!(none.tasks().len(), 0);
    let mut many = Many::new();
    for a in 0..25_000 {
        match a % 2 {
            0 => _ = many.push(Declares { a }),
            _ => _ = many.push(Kept { n: a }),
        }
    }
    let mut tx = pool.begin().await.expect("begun");
    let enqueued = many.enqueue(&mut tx).await.expect("enqueued");
    tx.commit().await.expect("committed");
    assert!(enqueued.tasks().map(|(task_id, _)| task_id).is_sorted());
    let misplaced: i64 = one(
        &pool,
        "select count(*) from (select coalesce(payload -> 'a', payload -> 'n')::bigint as a,
            row_number() over (order by task_id) as place from taskq.task) as row where a <> place - 1",
    )
    .await;
    assert_eq!(misplaced, 0);
}

#[tokio::test]
async fn a_handle_waits_for_its_own_and_is_told_at_once() {
    let (_database, pool) = database().await;
    let mut many = Many::new();
    many.push(Member { how: "".into() });
    let squares: Vec<_> = (0..20)
        .map(|n| many.push(NewTask::of(Kept { n }).awaited()))
        .collect();
    let mut db = pool.acquire().await.expect("a connection");
    let enqueued = many.enqueue(&mut db).await.expect("enqueued");
    let told: i64 = one(
        &pool,
        "select count(*) from taskq.task where metadata ? 'task.awaited'",
    )
    .await;
    assert_eq!(told, 20);
    let working = while_working(all(&pool), async {
        for (n, place) in (0..).zip(&squares) {
            let square = enqueued
                .handle(*place)
                .wait(&pool, Duration::from_secs(20))
                .await;
            assert_eq!(square.expect("it succeeds"), n * n);
        }
    });
    working.await;
    drain(all(&pool), &pool).await;
}

#[tokio::test]
async fn one_that_is_refused_refuses_all_and_says_which_it_is() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let begun = || {
        let mut many = Many::new();
        many.push(Member { how: "".into() });
        many.push(Single { a: 1 });
        many
    };
    // What is said of it.
    let mut many = begun();
    many.push(NewTask::of(Kept { n: 1 }).max_attempts(0));
    let refused = many.enqueue(&mut db).await.expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "the task `kept` at index 2 of those given: `max_attempts` must be at least 1"
    );
    // Its payload.
    let mut many = begun();
    many.push(Member { how: "\0".into() });
    let refused = many.enqueue(&mut db).await.expect_err("refused");
    assert!(
        matches!(
            refused,
            EnqueueError::Encode {
                index: Some(2),
                task_type: "member",
                ..
            }
        ),
        "{refused}"
    );
    // Its key.
    let mut tx = pool.begin().await.expect("begun");
    let holder = Single::enqueue(&mut tx, 7).await.expect("enqueued").task_id;
    let mut many = begun();
    many.push(Single { a: 8 });
    many.push(NewTask::of(Single { a: 7 }).unique(Unique::new().on_conflict(OnConflict::Error)));
    match many.enqueue(&mut tx).await {
        Err(EnqueueError::OfMany {
            index: 3,
            task_type: "single",
            source,
        }) => match *source {
            EnqueueError::Duplicate {
                task_type: "single",
                task_id,
            } => assert_eq!(task_id, holder),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    drop(tx);
    // Another transaction has its key.
    let mut open = pool.begin().await.expect("begun");
    Single::enqueue(&mut open, 9).await.expect("enqueued");
    let mut many = begun();
    many.push(NewTask::of(Single { a: 9 }).busy_after(Duration::from_millis(50)));
    match many.enqueue(&mut db).await {
        Err(EnqueueError::OfMany {
            index: 2, source, ..
        }) => {
            assert!(matches!(*source, EnqueueError::Busy { .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
    drop(open);
    // A constraint of a user's: what its row says is not told.
    execute(
        &pool,
        "alter table taskq.task add constraint small check ((payload ->> 'n')::bigint < 1000)",
    )
    .await;
    let mut many = begun();
    many.push(Kept { n: 5_000_123 });
    let refused = many.enqueue(&mut db).await.expect_err("refused");
    assert!(refused.to_string().contains("small"), "{refused}");
    assert!(
        !format!("{refused} {refused:?}").contains("5000123"),
        "{refused:?}"
    );
    execute(&pool, "alter table taskq.task add constraint odd check (task_type <> 'single' or (payload ->> 'a')::bigint < 1000)").await;
    let mut many = begun();
    many.push(Single { a: 5_000_123 });
    let refused = many.enqueue(&mut db).await.expect_err("refused");
    assert!(refused.to_string().contains("odd"), "{refused}");
    assert!(
        !format!("{refused} {refused:?}").contains("5000123"),
        "{refused:?}"
    );
    let there: i64 = one(&pool, "select count(*) from taskq.task").await;
    assert_eq!(there, 0, "each was refused with all beside it");
}

/// In whatever order they push them.
#[tokio::test]
async fn two_transactions_that_push_the_same_keys_do_not_wait_in_a_circle() {
    let (_database, pool) = database().await;
    let rounds = (0..8).map(|worker| {
        let pool = pool.clone();
        async move {
            for round in 0..10 {
                let mut many = Many::new();
                let mut keys: Vec<i64> = (0..30).collect();
                fastrand::Rng::with_seed(worker * 100 + round).shuffle(&mut keys);
                for a in keys {
                    match a % 2 {
                        0 => _ = many.push(Single { a }),
                        _ => _ = many.push(NewTask::of(Kept { n: a }).unique(Unique::new())),
                    }
                }
                let mut tx = pool.begin().await.expect("begun");
                many.enqueue(&mut tx).await.expect("no deadlock");
                tx.commit().await.expect("committed");
            }
        }
    });
    futures_util::future::join_all(rounds).await;
    let there: i64 = one(&pool, "select count(*) from taskq.task").await;
    assert_eq!(there, 30);
}

#[tokio::test]
#[should_panic(expected = "a place among other tasks")]
async fn a_place_among_others_is_refused() {
    let (_database, pool) = database().await;
    let mut many = Many::new();
    let place = many.push(Member { how: "".into() });
    let mut other = Many::new();
    other.push(Member { how: "".into() });
    let mut db = pool.acquire().await.expect("a connection");
    let enqueued = other.enqueue(&mut db).await.expect("enqueued");
    enqueued.get(place);
}

//! Each outcome has a time of its own, and one that nobody has said.

use std::time::Duration;

use sqlx::query;
use taskq::handler::KeepFor;
use taskq::operate::TaskState;
use taskq::testing::{advance, drain};
use taskq::{Handle, WaitError, task};

use super::{ended, left, of, pruned};
use crate::support::{database, execute, one, worker};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = HOUR.saturating_mul(24);

#[task(keep(
    completed = "12h",
    discarded = "30d",
    cancelled = "1d",
    expired = "none",
    invalid = "forever"
))]
async fn kept_by_outcome() {}

#[task]
async fn kept_as_it_comes() {}

#[task(keep = "none")]
async fn kept_never() {}

#[task(result = "keep")]
async fn kept_with_result() -> Result<u8, String> {
    Ok(7)
}

#[task(keep = "1h", max_attempts = 1)]
async fn kept_an_hour(fails: bool) -> Result<(), &'static str> {
    if fails { Err("no") } else { Ok(()) }
}

#[tokio::test]
async fn each_outcome_is_kept_as_long_as_its_type_says() {
    let (_database, pool) = database().await;
    for (outcome, young, old) in [
        ("completed", "11 hours", "13 hours"),
        ("discarded", "29 days", "31 days"),
        ("cancelled", "23 hours", "25 hours"),
        ("expired", "10 seconds", "2 minutes"),
        ("invalid", "1 year", "2 years"),
        ("quarantined", "1 year", "2 years"),
    ] {
        ended(&pool, "kept_by_outcome", outcome, young, 1).await;
        ended(&pool, "kept_by_outcome", outcome, old, 3).await;
        // Of a type that says nothing, of which dead ones are kept for ever.
        ended(&pool, "kept_as_it_comes", outcome, old, 1).await;
    }
    drain(worker(&pool).only::<(KeptByOutcome, KeptAsItComes)>())
        .await
        .expect("drained");
    let kept = of([
        ("kept_by_outcome", "completed", 1),
        ("kept_by_outcome", "discarded", 1),
        ("kept_by_outcome", "cancelled", 1),
        ("kept_by_outcome", "expired", 1),
        ("kept_by_outcome", "invalid", 4),
        ("kept_by_outcome", "quarantined", 4),
        ("kept_as_it_comes", "completed", 1),
        ("kept_as_it_comes", "discarded", 1),
        ("kept_as_it_comes", "cancelled", 1),
        ("kept_as_it_comes", "expired", 1),
        ("kept_as_it_comes", "invalid", 1),
        ("kept_as_it_comes", "quarantined", 1),
    ]);
    assert_eq!(left(&pool).await, kept);
    let gone = of([
        ("kept_by_outcome", "completed", 3),
        ("kept_by_outcome", "discarded", 3),
        ("kept_by_outcome", "cancelled", 3),
        ("kept_by_outcome", "expired", 3),
    ]);
    assert_eq!(pruned(&pool).await, gone);
}

#[tokio::test]
async fn a_type_says_whether_its_completed_tasks_are_kept_at_all() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload)
         values ('kept_as_it_comes', '{}'), ('kept_never', '{}'), ('kept_an_hour', '{\"fails\": false}')",
    )
    .await;
    drain(worker(&pool).only::<(KeptAsItComes, KeptNever, KeptAnHour)>())
        .await
        .expect("drained");
    assert_eq!(left(&pool).await, of([("kept_an_hour", "completed", 1)]));
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('kept_as_it_comes'), ('kept_never')",
    )
    .await;
    let keeps_all = worker(&pool).keep_completed(true);
    drain(keeps_all.only::<(KeptAsItComes, KeptNever, KeptAnHour)>())
        .await
        .expect("drained");
    let kept = of([
        ("kept_an_hour", "completed", 1),
        ("kept_as_it_comes", "completed", 1),
    ]);
    assert_eq!(left(&pool).await, kept);
}

#[tokio::test]
async fn what_is_kept_for_a_time_is_gone_when_time_moves_on() {
    let (_database, pool) = database().await;
    let worker = || worker(&pool).only::<(KeptAnHour, KeptWithResult)>();
    let mut db = pool.acquire().await.expect("a connection");
    let awaited = KeptWithResult::enqueue(&mut db).await.expect("enqueued");
    KeptAnHour::enqueue(&mut db, false).await.expect("enqueued");
    KeptAnHour::enqueue(&mut db, true).await.expect("enqueued");
    drain(worker()).allow_failures().await.expect("drained");
    let both = of([
        ("kept_an_hour", "completed", 1),
        ("kept_an_hour", "discarded", 1),
        ("kept_with_result", "completed", 1),
    ]);
    assert_eq!(left(&pool).await, both);
    advance(&pool, HOUR - Duration::from_secs(60))
        .await
        .expect("moved");
    drain(worker()).await.expect("drained");
    assert_eq!(left(&pool).await, both, "nothing is pruned early");
    advance(&pool, Duration::from_secs(61))
        .await
        .expect("moved");
    drain(worker()).await.expect("drained");
    let later = of([
        ("kept_an_hour", "discarded", 1),
        ("kept_with_result", "completed", 1),
    ]);
    assert_eq!(left(&pool).await, later, "a dead one is kept for ever");
    let handle = Handle::<KeptWithResult>::of(awaited.task_id);
    let result = handle.wait(&pool, HOUR).await;
    assert_eq!(result.expect("kept"), 7);
    // With its day: seven days, the rest of the day, and a day more.
    advance(&pool, DAY * 9).await.expect("moved");
    drain(worker()).await.expect("drained");
    assert_eq!(left(&pool).await, of([("kept_an_hour", "discarded", 1)]));
    let result = handle.wait(&pool, HOUR).await;
    assert!(matches!(result, Err(WaitError::Gone)), "{result:?}");
    let counted = of([
        ("kept_an_hour", "completed", 1),
        ("kept_with_result", "completed", 1),
    ]);
    assert_eq!(pruned(&pool).await, counted);
}

#[tokio::test]
async fn an_operator_says_another_time_and_takes_it_back() {
    let (_database, pool) = database().await;
    ended(&pool, "kept_as_it_comes", "discarded", "40 days", 2).await;
    ended(&pool, "kept_by_outcome", "cancelled", "40 days", 2).await;
    execute(
        &pool,
        "select taskq.keep('kept_as_it_comes', 'discarded', '30d', 'enough of them', 'ada');
         select taskq.keep('kept_by_outcome', 'cancelled', 'forever', 'the auditors come', 'ada')",
    )
    .await;
    let types = || worker(&pool).only::<(KeptByOutcome, KeptAsItComes)>();
    drain(types()).await.expect("drained");
    let kept = of([("kept_by_outcome", "cancelled", 2)]);
    assert_eq!(left(&pool).await, kept);
    let said: i64 = one(
        &pool,
        "select count(*) from taskq.audit where verb = 'keep' and by = 'ada' and reason is not null",
    )
    .await;
    assert_eq!(said, 2);
    let reset = "select taskq.reset_keep('kept_by_outcome', 'cancelled')";
    assert!(one::<bool>(&pool, reset).await);
    assert!(!one::<bool>(&pool, reset).await, "nothing is left of it");
    drain(types()).await.expect("drained");
    assert_eq!(left(&pool).await, of([]));
    for (said, wrong) in [
        (
            "select taskq.keep('x', 'done', '30d')",
            "there is no outcome \"done\"",
        ),
        (
            "select taskq.keep('x', 'discarded', '0s')",
            "\"0s\" is no time",
        ),
        (
            "select taskq.keep('x', 'discarded', '8000 years')",
            "\"8000 years\" is more than a hundred years: write forever",
        ),
        (
            "select taskq.keep('x', 'discarded', 'soon')",
            "invalid input syntax for type interval",
        ),
    ] {
        let error = query(said).execute(&pool).await.expect_err("refused");
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

/// What holds, who has said it, and how much has gone.
#[tokio::test]
async fn what_is_kept_is_listed_with_who_said_so_and_how_much_was_pruned() {
    let (_database, pool) = database().await;
    let operator = taskq::operate(&pool).as_user("ada");
    assert_eq!(operator.keeps().await.expect("read"), []);
    operator
        .keep("kept_by_outcome", TaskState::Cancelled, KeepFor::Forever)
        .because("the auditors come")
        .await
        .expect("said");
    ended(&pool, "kept_by_outcome", "completed", "2 days", 3).await;
    ended(&pool, "kept_by_outcome", "discarded", "40 days", 2).await;
    ended(&pool, "kept_as_it_comes", "completed", "10 days", 4).await;
    drain(worker(&pool).only::<(KeptByOutcome, KeptAsItComes)>())
        .await
        .expect("drained");
    operator.prune().await.expect("pruned");
    let keeps = operator.keeps().await.expect("read");
    let told: Vec<_> = keeps
        .iter()
        .map(|it| (&*it.task_type, &*it.outcome, it.seconds, it.pruned))
        .collect();
    let day = Some(86_400.0);
    assert_eq!(
        told,
        [
            // Those of types of which nothing is said.
            ("", "completed", day.map(|it| it * 7.0), 4),
            ("kept_by_outcome", "cancelled", None, 0),
            ("kept_by_outcome", "completed", day.map(|it| it / 2.0), 3),
            ("kept_by_outcome", "discarded", day.map(|it| it * 30.0), 2),
            ("kept_by_outcome", "expired", Some(0.0), 0),
            ("kept_by_outcome", "invalid", None, 0),
        ]
    );
    let said = &keeps[1];
    assert!(said.is_overridden && said.said_at.is_some() && said.last_pruned_at.is_none());
    assert_eq!(said.by.as_deref(), Some("ada"));
    assert_eq!(said.reason.as_deref(), Some("the auditors come"));
    assert!(!keeps[2].is_overridden && keeps[2].last_pruned_at.is_some());
}

#[tokio::test]
async fn the_longest_time_that_somebody_says_keeps_nobody_from_pruning() {
    let (_database, pool) = database().await;
    ended(&pool, "kept_as_it_comes", "discarded", "40 days", 1).await;
    ended(&pool, "kept_by_outcome", "cancelled", "40 days", 1).await;
    let operator = taskq::operate(&pool);
    for (task_type, time) in [
        ("kept_as_it_comes", Duration::MAX),
        ("kept_by_outcome", Duration::from_secs(1)),
    ] {
        for state in [
            TaskState::Discarded,
            TaskState::Cancelled,
            TaskState::Completed,
        ] {
            let keeping = operator.keep(task_type, state, KeepFor::Time(time));
            keeping.await.expect("said");
        }
    }
    assert_eq!(operator.prune().await.expect("pruned"), 1);
    assert_eq!(
        left(&pool).await,
        of([("kept_as_it_comes", "discarded", 1)])
    );
}

#[tokio::test]
async fn dead_tasks_that_are_kept_for_ever_are_warned_of_by_age_and_number() {
    let (_database, pool) = database().await;
    let warned = "select string_agg(subject || ': ' || said, '; ' order by subject) from taskq.doctor() where problem = 'kept'";
    ended(&pool, "kept_as_it_comes", "discarded", "89 days", 9_999).await;
    assert_eq!(one::<Option<String>>(&pool, warned).await, None);
    ended(&pool, "kept_as_it_comes", "discarded", "1 day", 1).await;
    ended(&pool, "kept_as_it_comes", "cancelled", "91 days", 1).await;
    ended(&pool, "kept_by_outcome", "discarded", "91 days", 1).await;
    drain(worker(&pool).only::<(KeptAsItComes,)>())
        .await
        .expect("drained");
    let said = one::<Option<String>>(&pool, warned).await.expect("warned");
    for part in [
        "kept_as_it_comes cancelled: 1 task of type kept_as_it_comes is cancelled and kept for ever, the oldest for 91 days",
        "kept_as_it_comes discarded: 10,000 tasks",
        "kept_by_outcome discarded: 1 task",
    ] {
        assert!(said.contains(part), "{said}");
    }
    drain(worker(&pool).only::<(KeptByOutcome,)>())
        .await
        .expect("drained");
    let said = one::<Option<String>>(&pool, warned).await.expect("warned");
    assert!(
        !said.contains("kept_by_outcome"),
        "its type says how long: {said}"
    );
    // They are still there, and somebody has said what is to become of them.
    execute(
        &pool,
        "select taskq.keep('kept_as_it_comes', 'discarded', '1 year');
         select taskq.keep('kept_as_it_comes', 'cancelled', 'forever')",
    )
    .await;
    assert_eq!(one::<Option<String>>(&pool, warned).await, None);
    let still: i64 = one(&pool, "select count(*) from taskq.dead").await;
    assert_eq!(still, 10_001);
}

//! Of what dead tasks have died.

use sqlx::PgPool;
use taskq::operate::{Cause, TaskState};
use taskq::{OperateError, task};
use tokio::time::Instant;

use crate::support::{database, drain, execute, one, worker};

async fn causes(pool: &PgPool, filter: &str) -> Vec<Cause> {
    let filter = filter.parse().expect("a filter");
    let causes = taskq::operate(pool)
        .causes(&filter)
        .await
        .expect("readable");
    assert!(!causes.stopped);
    causes.causes
}

#[task(max_attempts = 1)]
async fn break_down(usr_id: i64, how: String) -> Result<(), String> {
    match how.as_str() {
        "panic" => panic!("no usr {usr_id}"),
        "other" => panic!("no usr {usr_id}"),
        _ => Err(format!(
            "usr {usr_id}: timed out after {}.5 s at 10.0.0.{usr_id}:80",
            usr_id * 7
        )),
    }
}

#[tokio::test]
async fn what_failed_alike_has_one_cause_whatever_numbers_are_in_its_text() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type, payload)
         select 'break_down', jsonb_build_object('usr_id', n, 'how', (array['panic', 'other', 'error'])[n % 3 + 1])
         from generate_series(1, 9) as n",
    )
    .await;
    // What kills workers on one host and another, and what does not decode.
    execute(
        &pool,
        "insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state)
         select 100 + n, 'kill', '{}', 'default', 0, now(), 0, 5, jsonb_build_array(jsonb_build_object('attempt', 1, 'error',
             'its worker vanished 5 times while it ran; the last was process 7 on ' || chr(96 + n::integer))), 'quarantined'
         from generate_series(1, 2) as n",
    )
    .await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) values ('break_down', '{"how": 1}')"#,
    )
    .await;
    drain(worker(&pool).only::<(BreakDown,)>(), &pool).await;
    let causes = causes(&pool, "").await;
    let told: Vec<(u64, &str, TaskState)> = causes
        .iter()
        .map(|cause| (cause.total, cause.task_type.as_str(), cause.state))
        .collect();
    assert_eq!(told.len(), 5, "{causes:?}");
    assert_eq!(
        told[..3],
        [(3, "break_down", TaskState::Discarded); 3],
        "{causes:?}"
    );
    assert!(
        told.contains(&(2, "kill", TaskState::Quarantined)),
        "{causes:?}"
    );
    assert!(
        told.contains(&(1, "break_down", TaskState::Invalid)),
        "{causes:?}"
    );
    let panics = causes.iter().filter_map(|cause| cause.error.as_deref());
    assert_eq!(
        panics
            .filter(|error| error.starts_with("panicked at "))
            .count(),
        2,
        "two places"
    );
}

#[tokio::test]
async fn five_thousand_dead_tasks_of_three_causes_are_three_lines() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.dead
             (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at)
         select n, 'send', '{}', 'default', 0, now(), 1, 0,
             jsonb_build_array(jsonb_build_object('attempt', 1, 'at', now(), 'error',
                 (array['timed out for usr ', 'no such user ', 'mailbox is full: '])[1 + n % 3]
                     || n || ' of ' || gen_random_uuid())), 'discarded',
             now() - n * interval '1 second'
         from generate_series(1, 5000) as n",
    )
    .await;
    let began = Instant::now();
    let found = causes(&pool, "").await;
    let took = began.elapsed();
    let totals: Vec<u64> = found.iter().map(|cause| cause.total).collect();
    assert_eq!(totals, [1667, 1667, 1666]);
    assert!(took.as_millis() < 2_000, "{took:?}");
    let of_one = format!("cause:{}", found[1].cause);
    assert_eq!(causes(&pool, &of_one).await.len(), 1);
    let listed = taskq::operate(&pool)
        .list(&of_one.parse().expect("a filter"))
        .most(1_000)
        .await;
    let listed = listed.expect("a list");
    assert!(listed.tasks.len() == 1_000 && listed.next.is_some());
    assert!(
        listed
            .tasks
            .iter()
            .all(|task| task.cause.as_ref() == Some(&found[1].cause))
    );
    assert!(found[1].first_at < found[1].last_at);
    // The last of them, and its own text.
    let last = listed.tasks[0].clone();
    assert_eq!(
        (found[1].last_task_id, found[1].error.clone()),
        (last.task_id, last.error)
    );
    // Each line is treated as one.
    let operator = taskq::operate(&pool);
    let frozen = operator
        .discard_all(&of_one.parse().expect("a filter"))
        .await
        .expect("frozen");
    let ended = operator
        .run_bulk(frozen.bulk_id, |_| ())
        .await
        .expect("done");
    assert_eq!(ended.done, 1667);
    assert_eq!(causes(&pool, "").await.len(), 2);
}

#[tokio::test]
async fn what_was_cancelled_has_no_cause_unless_it_is_asked_for_and_all_faces_count_alike() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state)
         select row_number() over (), 'a', '{}', 'default', 0, now(), 1, 0, state
         from unnest(array['discarded', 'cancelled', 'invalid', 'quarantined', 'expired']) as state
         cross join generate_series(1, 3)",
    )
    .await;
    let states = async |filter| {
        let told = causes(&pool, filter).await;
        let mut states: Vec<_> = told.iter().map(|it| (it.state.name(), it.total)).collect();
        states.sort_unstable();
        states
    };
    let died = ["discarded", "expired", "invalid", "quarantined"].map(|state| (state, 3));
    for filter in ["", "type:a", "queue:default", "newer:1h"] {
        assert_eq!(states(filter).await, died, "{filter}");
    }
    assert_eq!(states("state:cancelled").await, [("cancelled", 3)]);
    assert_eq!(states("state:dead").await.len(), 5);
    let stats = taskq::operate(&pool).stats().await.expect("counted");
    assert_eq!(stats.kinds[0].dead, 12);
    let frozen = taskq::operate(&pool).retry_all(&"".parse().expect("a filter"));
    assert_eq!(frozen.count().await.expect("counted"), 12);
}

#[tokio::test]
async fn causes_say_at_how_many_they_have_looked() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state)
         select n, 'a', '{}', 'default', 0, now(), 1, 0, 'discarded' from generate_series(1, 100) as n",
    )
    .await;
    let of = async |filter: &str, looks| {
        let filter = filter.parse().expect("a filter");
        taskq::operate(&pool).causes(&filter).looks(looks).await
    };
    // By causes, types and times it counts.
    let some = of("type:a newer:1d", 60).await.expect("readable");
    assert!(!some.stopped && some.causes[0].total == 60 && some.causes[0].and_more);
    let all = of("", 101).await.expect("readable");
    assert!(!all.stopped && all.causes[0].total == 100 && !all.causes[0].and_more);
    // For what is said of a task it reads a tenth as many.
    let some = of("queue:default", 600).await.expect("readable");
    assert_eq!((some.stopped, some.read), (true, Some(60)));
    assert!(some.causes[0].total == 60 && !some.causes[0].and_more);
    let none = of("queue:none", 600).await.expect("readable");
    assert!(none.stopped && none.causes.is_empty());
    assert!(!of("queue:none", 2_000).await.expect("readable").stopped);
    match of("state:waiting", 60).await {
        Err(OperateError::Refused { message }) => {
            assert!(message.contains("only dead tasks have causes"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let null: bool = one(&pool, "select bool_and(cause is not null) from taskq.dead").await;
    assert!(null, "a dead task without an error has a cause too");
}

#[tokio::test]
async fn of_too_many_causes_those_are_told_of_which_the_newest_tasks_have_died() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.dead
             (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state, finished_at)
         select n, 'type_' || n % 1500, '{}', 'default', 0, now(), 1, 0, 'discarded', now() - n * interval '1 minute'
         from generate_series(1, 15000) as n",
    )
    .await;
    let all = &taskq::operate::Filter::default();
    let told = taskq::operate(&pool).causes(all).most(1_000).await;
    let told = told.expect("readable");
    assert_eq!(
        (told.causes.len(), told.stopped, told.read),
        (1_000, true, None)
    );
    // All of a cause counts, not what is among the newest.
    assert!(
        told.causes.iter().all(|cause| cause.total == 10),
        "{:?}",
        told.causes[0]
    );
}

//! Finding tasks by a filter, and showing one.

use std::time::Duration;

use sqlx::PgPool;
use taskq::operate::{Cursor, Filter, Operator, TaskState};
use taskq::{OperateError, task};

use super::{audit, enqueue};
use crate::support::{database, drain, execute, leave_behind, one, worker};

fn filter(text: &str) -> Filter {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn operator(pool: &PgPool) -> Operator {
    taskq::operate(pool)
}

/// Returns the ids of all that match, page by page.
async fn ids(pool: &PgPool, text: &str, most: u16) -> Vec<i64> {
    let filter = filter(text);
    let mut found = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let mut listing = operator(pool).list(&filter).most(most);
        if let Some(after) = after {
            // As it goes through a URL.
            listing = listing.after(after.to_string().parse().expect("a cursor"));
        }
        let page = listing.await.expect(text);
        assert!(!page.stopped, "{text}");
        assert!(page.tasks.len() <= usize::from(most));
        found.extend(page.tasks.iter().map(|task| task.task_id));
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

/// One task in each state: 1 and 2 run, 3 waits, 4 is scheduled, 5 to 9 are dead, 10 was refused, 11 has completed.
async fn one_of_each(pool: &PgPool) {
    execute(
        pool,
        r#"insert into taskq.task (task_type, payload)
           select 'run', jsonb_build_object('usr_id', n) from generate_series(1, 2) as n"#,
    )
    .await;
    leave_behind(pool).await;
    execute(
        pool,
        r#"insert into taskq.task (task_type, queue, payload, errors)
           values ('send_card', 'mail', '{"usr_id": 42, "to": [{"a.b": "ada"}]}',
                   '[{"attempt": 1, "at": "2026-01-01T00:00:00Z", "error": "Timed out after 3 s"}]');
           insert into taskq.task (task_type, queue, run_at) values ('send_note', 'mail', now() + interval '1 hour');
           insert into taskq.dead
               (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at)
           select n, 'send_' || n, '{"usr_id": "42"}', 'mail_2', 0, now(), 1, 0,
               '[{"attempt": 1, "at": "2026-01-01T00:00:00Z", "error": "100% timed out"}]',
               (array['discarded', 'cancelled', 'invalid', 'quarantined', 'expired'])[n - 4], now() - n * interval '1 day'
           from generate_series(5, 9) as n;
           insert into taskq.refused (task_id, task_type, payload, queue, priority, run_at, created_at, attempts, crashes, refusal)
           values (10, 'refuse', '{}', 'mail', 0, now(), now(), 1, 0, '{"message": "no"}');
           insert into taskq.history (task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at, result)
           values (11, 'finish', '{}', 'default', 0, now(), 1, now(), '{"n": 9007199254740993}')"#,
    )
    .await;
}

#[tokio::test]
async fn a_filter_finds_what_it_says_and_nothing_else() {
    let (_database, pool) = database().await;
    one_of_each(&pool).await;
    for (text, found) in [
        ("", &[2, 1, 4, 3, 5, 6, 7, 8, 9, 10, 11][..]),
        ("state:waiting", &[4, 3]),
        ("state:due", &[3]),
        ("state:scheduled", &[4]),
        ("state:due,scheduled", &[4, 3]),
        ("state:running", &[2, 1]),
        ("state:dead", &[5, 6, 7, 8, 9]),
        // Nobody mourns what was cancelled.
        ("state:died", &[5, 7, 8, 9]),
        ("state:invalid,quarantined", &[7, 8]),
        ("state:refused,completed", &[10, 11]),
        ("type:send_card", &[3]),
        ("type:send_*", &[4, 3, 5, 6, 7, 8, 9]),
        ("type:send_card,fin*", &[3, 11]),
        ("type:send?card", &[]),
        ("queue:mail", &[4, 3, 10]),
        ("queue:mail*", &[4, 3, 5, 6, 7, 8, 9, 10]),
        ("queue:mail%", &[]),
        ("payload.usr_id:42", &[3, 5, 6, 7, 8, 9]),
        ("payload.usr_id:42 state:waiting", &[3]),
        ("payload.to.0.\"a.b\":ada", &[3]),
        ("payload.usr_id:null", &[4, 10, 11]),
        ("payload.usr_id:1,2", &[2, 1]),
        ("error:\"TIMED out\"", &[3, 5, 6, 7, 8, 9]),
        ("error:100%", &[5, 6, 7, 8, 9]),
        ("error:1__%", &[]),
        ("state:dead older:6d", &[6, 7, 8, 9]),
        ("state:dead newer:6d", &[5]),
        ("older:1h", &[5, 6, 7, 8, 9]),
        ("id:3,9,77", &[3, 9]),
    ] {
        for most in [1, 3, 50] {
            assert_eq!(
                ids(&pool, text, most).await,
                found,
                "{text}, {most} at a time"
            );
        }
    }
    let quoted = r#"type:"'; drop table taskq.task; --" queue:"$1""#;
    assert_eq!(ids(&pool, quoted, 50).await, [0; 0]);
}

#[tokio::test]
async fn pages_lose_nothing_where_all_died_in_one_instant() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.dead
             (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state)
         select n, 'a', '{}', 'default', 0, now(), 1, 0,
             jsonb_build_array(jsonb_build_object('attempt', 1, 'at', now(), 'error', repeat('x', 20000))), 'discarded'
         from generate_series(1, 500) as n",
    )
    .await;
    let found = ids(&pool, "state:dead", 7).await;
    assert_eq!(found, (1..=500).rev().collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_search_says_where_it_stopped_and_goes_on_there() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select case n when 7 then 'rare' else 'a' end from generate_series(1, 1000) as n",
    )
    .await;
    let rare = filter("type:rare");
    let mut pages = 0;
    let mut next: Option<Cursor> = None;
    let found = loop {
        let mut listing = operator(&pool).list(&rare).looks(100);
        if let Some(next) = next {
            listing = listing.after(next);
        }
        let page = listing.await.expect("a page");
        pages += 1;
        if !page.tasks.is_empty() {
            break page.tasks[0].task_id;
        }
        assert!(page.stopped, "after {pages} pages");
        next = Some(page.next.expect("a place to go on"));
    };
    assert_eq!((found, pages), (7, 10));
    let all = operator(&pool).list(&rare).await.expect("a page");
    assert!(!all.stopped && all.next.is_none() && all.tasks.len() == 1);
    // A page that is full has not stopped, and one of nothing that has looked at all says so.
    let full = operator(&pool)
        .list(&filter("type:a"))
        .looks(100)
        .most(10)
        .await;
    let full = full.expect("a page");
    assert!(!full.stopped && full.next.is_some());
    let none = operator(&pool)
        .list(&filter("type:none"))
        .looks(1_000)
        .await;
    assert!(
        none.expect("a page").stopped,
        "there may be more than a thousand"
    );
    let none = operator(&pool)
        .list(&filter("type:none"))
        .looks(1_001)
        .await;
    assert!(!none.expect("a page").stopped);
}

#[tokio::test]
async fn a_search_whose_time_is_over_says_at_how_many_tasks_it_has_looked() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.task (task_type) select case n when 7 then 'rare' else 'a' end from generate_series(1, 1000) as n",
    )
    .await;
    let (mut next, mut looked): (Option<Cursor>, u64) = (None, 0);
    let found = loop {
        let mut listing = operator(&pool)
            .list(&filter("type:rare"))
            .within(Duration::ZERO);
        if let Some(next) = next {
            listing = listing.after(next);
        }
        let page = listing.await.expect("a page");
        if let Some(task) = page.tasks.first() {
            break task.task_id;
        }
        assert!(page.stopped);
        looked += page.looked.expect("a number");
        next = page.next;
    };
    // It goes on behind the last at which it has looked, and looks at none twice.
    assert_eq!((found, looked), (7, 950));
    // Of a task without an error it is not known whether it matches.
    let unknown = operator(&pool)
        .list(&filter("state:waiting error:none"))
        .within(Duration::ZERO);
    let page = unknown.await.expect("a page");
    assert_eq!((page.stopped, page.looked), (true, Some(50)));
    let patient = operator(&pool)
        .list(&filter("type:rare"))
        .within(Duration::from_secs(60));
    let page = patient.await.expect("a page");
    assert_eq!(
        (page.tasks.len(), page.stopped, page.looked),
        (1, false, None)
    );
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let (_database, pool) = database().await;
    let cursor: Cursor = "dead.1.2026-01-01T00:00:00Z".parse().expect("a cursor");
    let listing = operator(&pool).list(&filter("state:waiting")).after(cursor);
    match listing.await {
        Err(OperateError::Refused { message }) => {
            assert!(message.contains("this filter"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    let error = "dead.1".parse::<Cursor>().expect_err("no cursor");
    assert!(
        error
            .to_string()
            .contains("take what a page gives as `next`"),
        "{error}"
    );
}

#[task(max_attempts = 2)]
async fn fail_once() -> Result<(), String> {
    Err("out of stamps".into())
}

#[tokio::test]
async fn one_task_is_shown_with_all_that_became_of_it() {
    let (_database, pool) = database().await;
    let id = enqueue(&pool, "fail_once", r#"{"n": 9007199254740993}"#).await;
    execute(&pool, r#"update taskq.task set metadata = '{"a": 1}'"#).await;
    let waiting = worker(&pool).only::<(FailOnce,)>();
    execute(&pool, "update taskq.task set attempts = 1").await;
    drain(waiting, &pool).await;
    let retry = operator(&pool)
        .as_user("ada")
        .retry_at(id, "2100-01-01T00:00:00Z".parse().expect("a time"));
    retry.because("stamps are here").await.expect("retried");
    let shown = operator(&pool)
        .show(id)
        .await
        .expect("readable")
        .expect("there");
    assert_eq!(shown.state, TaskState::Waiting);
    assert_eq!(shown.payload.get(), r#"{"n": 9007199254740993}"#);
    assert_eq!(shown.metadata.get(), r#"{"a": 1}"#);
    let texts: Vec<String> = shown
        .timeline()
        .into_iter()
        .map(|event| event.text)
        .collect();
    assert_eq!(
        texts,
        [
            "enqueued",
            "attempt 2: out of stamps",
            "retry by ada, when it was discarded: stamps are here",
            "due"
        ]
    );
    assert_eq!(audit(&pool, id).await.len(), 1);
    assert!(
        operator(&pool)
            .show(id + 1)
            .await
            .expect("readable")
            .is_none()
    );
}

#[tokio::test]
async fn the_keys_that_a_task_holds_are_shown() {
    let (_database, pool) = database().await;
    let id: i64 = one(
        &pool,
        r#"select task_id from taskq.enqueue('a', '{"usr_id": 7}', '{"unique_fields": ["usr_id"]}')"#,
    )
    .await;
    execute(
        &pool,
        r#"select taskq.enqueue('a', '{"usr_id": 8}', '{"unique_key": "8"}')"#,
    )
    .await;
    let shown = operator(&pool)
        .show(id)
        .await
        .expect("readable")
        .expect("there");
    let keys: Vec<(&str, &str)> = shown
        .unique_keys
        .iter()
        .map(|held| (held.key.get(), held.until.as_str()))
        .collect();
    assert_eq!(keys, [(r#"{"usr_id": 7}"#, "done")]);
}

#[tokio::test]
async fn a_task_in_each_state_can_be_shown() {
    let (_database, pool) = database().await;
    one_of_each(&pool).await;
    let mut states = Vec::new();
    for id in 1..=11 {
        let shown = operator(&pool)
            .show(id)
            .await
            .expect("readable")
            .expect("there");
        assert_eq!(shown.task_id, id);
        states.push(shown.state.name());
        assert_eq!(shown.cause.is_some(), (5..=9).contains(&id), "{id}");
        assert_eq!(shown.refusal.is_some(), id == 10);
        assert_eq!(shown.worker_id.is_some(), id <= 2);
    }
    let finished = operator(&pool)
        .show(11)
        .await
        .expect("readable")
        .expect("there");
    assert_eq!(
        finished.result.expect("kept").get(),
        r#"{"n": 9007199254740993}"#
    );
    assert_eq!(
        states,
        [
            "running",
            "running",
            "waiting",
            "waiting",
            "discarded",
            "cancelled",
            "invalid",
            "quarantined",
            "expired",
            "refused",
            "completed"
        ]
    );
}

#[tokio::test]
async fn the_functions_say_what_is_wrong_with_a_filter() {
    let (_database, pool) = database().await;
    for (filter, says) in [
        ("[]", "a filter is a JSON object"),
        (
            r#"{"stat": ["dead"]}"#,
            "a filter has no 'stat': it has state, ",
        ),
        (
            r#"{"state": "dead"}"#,
            "'state' of a filter is of type array, not string",
        ),
        (
            r#"{"state": ["ded"]}"#,
            "there is no state 'ded': they are waiting",
        ),
        (r#"{"payload": ["x"]}"#, "an object with two arrays"),
        (r#"{"id": ["x"]}"#, "an id is a whole number"),
        (
            r#"{"older": "1h"}"#,
            "'older' of a filter is of type number",
        ),
    ] {
        let said = sqlx::query("select * from taskq.list($1::text::jsonb)").bind(filter);
        let error = said.execute(&pool).await.expect_err(filter).to_string();
        assert!(error.contains(says), "{filter}: {error}");
    }
    let most: i64 = one(&pool, "select count(*) from taskq.list()").await;
    assert_eq!(most, 0);
}

#[tokio::test]
async fn a_filter_in_sql_without_a_value_is_refused_and_does_not_mean_all() {
    let (_database, pool) = database().await;
    for filter in [
        r#"{"state": []}"#,
        r#"{"state": ["due", null]}"#,
        r#"{"queue": []}"#,
        r#"{"payload": [{"path": [], "values": ["1"]}]}"#,
        r#"{"payload": [{"path": [null], "values": ["null"]}]}"#,
    ] {
        let frozen = sqlx::query("select * from taskq.freeze_bulk('cancel', $1::jsonb)")
            .bind(filter)
            .execute(&pool)
            .await;
        let refused = frozen.expect_err(filter).to_string();
        assert!(
            refused.contains("of a filter has no value")
                || refused.contains("of one text at least"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn the_last_task_of_a_cause_is_one_that_matches() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        "insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state)
         select n, 'a', '{}', 'queue_' || n, 0, now(), 1, 0, 'discarded' from generate_series(1, 2) as n",
    )
    .await;
    let causes = operator(&pool)
        .causes(&filter("queue:queue_1"))
        .await
        .expect("told")
        .causes;
    assert_eq!((causes.len(), causes[0].last_task_id), (1, 1));
}

//! Trouble that somebody knows of: it is told last, counts no more, and comes back.

use sqlx::PgPool;
use taskq::OperateError;
use taskq::chrono::{TimeDelta, Utc};
use taskq::operate::{Acknowledging, Ailment, Operator, Severity};

use super::doctor::live;
use crate::cli::said;
use crate::support::{database, execute};

/// Returns which trouble counts, and which somebody knows of.
async fn told(pool: &PgPool) -> (Vec<String>, Vec<Ailment>) {
    let found = taskq::operate(pool).doctor().await.expect("examined");
    let ours = found.into_iter().filter(|it| it.problem != "setting");
    let (known, counts): (Vec<_>, Vec<_>) = ours.partition(|it| it.acknowledged.is_some());
    let names = counts
        .iter()
        .map(|it| format!("{} {}", it.problem, it.subject));
    (names.collect(), known)
}

fn operator(pool: &PgPool) -> Operator {
    taskq::operate(pool).as_user("ada")
}

fn paused(pool: &PgPool) -> Acknowledging {
    operator(pool).acknowledge("paused", "queue mail", Severity::Warning)
}

async fn paused_twice(pool: &PgPool) {
    live(pool).await;
    execute(
        pool,
        "select taskq.pause_queue('mail'); select taskq.pause_task_type('mail')",
    )
    .await;
}

#[tokio::test]
async fn what_is_known_is_told_last_with_who_and_why_and_its_like_still_counts() {
    let (_database, pool) = database().await;
    paused_twice(&pool).await;
    assert_eq!(
        told(&pool).await.0,
        ["paused queue mail", "paused task type mail"]
    );
    paused(&pool).because("until Monday").await.expect("said");
    let (counts, known) = told(&pool).await;
    assert_eq!(counts, ["paused task type mail"]);
    assert_eq!(known[0].subject, "queue mail");
    let by = known[0].acknowledged.as_ref().expect("it is known");
    assert_eq!(by.to_string(), "acknowledged by ada (until Monday)");
    // Said again, it is as it was said last.
    paused(&pool).await.expect("said");
    let (_, known) = told(&pool).await;
    let by = known[0].acknowledged.as_ref().expect("it is known");
    assert_eq!((known.len(), by.reason.as_ref()), (1, None));
    let again = operator(&pool).unacknowledge("paused", "queue mail");
    assert!(again.await.expect("said"));
    let again = operator(&pool).unacknowledge("paused", "queue mail");
    assert!(!again.await.expect("said"));
    assert_eq!(told(&pool).await.0.len(), 2);
}

#[tokio::test]
async fn it_counts_again_when_its_time_is_over_and_when_it_becomes_an_error() {
    let (_database, pool) = database().await;
    paused_twice(&pool).await;
    let until = paused(&pool).until(Utc::now() + TimeDelta::hours(1));
    until.await.expect("said");
    assert_eq!(told(&pool).await.0.len(), 1);
    execute(
        &pool,
        "update taskq.acknowledged set until = now() - interval '1 s'",
    )
    .await;
    assert_eq!(told(&pool).await.0.len(), 2, "its time is over");
    paused(&pool).await.expect("said");
    assert_eq!(told(&pool).await.0.len(), 1);
    // A pause without an end is an error while something is late.
    execute(
        &pool,
        "insert into taskq.task (task_type, queue, run_at) values ('greet', 'mail', now() - interval '2 hours')",
    )
    .await;
    let (counts, known) = told(&pool).await;
    assert_eq!(known, [], "it is another severity");
    assert!(
        counts.contains(&"paused queue mail".to_owned()),
        "{counts:?}"
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let (_database, pool) = database().await;
    let operator = operator(&pool);
    let long = "x".repeat(1_001);
    let wrong = [
        operator.acknowledge("", "queue mail", Severity::Warning),
        operator.acknowledge("paused", "", Severity::Warning),
        operator.acknowledge("paused", &long, Severity::Warning),
        paused(&pool).until(Utc::now() - TimeDelta::hours(1)),
        paused(&pool).because("x".repeat(10_001)),
    ];
    for acknowledging in wrong {
        let refused = acknowledging.await;
        assert!(
            matches!(refused, Err(OperateError::Refused { .. })),
            "{refused:?}"
        );
    }
    let severity = sqlx::query("select taskq.acknowledge('paused', 'queue mail', 'bad')");
    let refused = severity.execute(&pool).await.expect_err("refused");
    assert!(refused.to_string().contains("the severity is"), "{refused}");
    let nobody: i64 = crate::support::one(&pool, "select count(*) from taskq.audit").await;
    assert_eq!(nobody, 0);
}

#[tokio::test]
async fn the_command_line_counts_no_more_what_is_known() {
    let (database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type) values ('unknown')",
    )
    .await;
    let (_, _, code) = said(&database, &["doctor"]).await;
    assert_eq!(code, Some(1));
    let (_, err, code) = said(&database, &["acknowledge", "unserved", "mail"]).await;
    assert_eq!(code, Some(1));
    assert!(
        err.ends_with("its subjects are now: unknown in queue default\n"),
        "{err}"
    );
    let known = [
        "acknowledge",
        "unserved",
        "unknown in queue default",
        "--because",
        "its worker comes tomorrow",
        "--as-user",
        "ada",
    ];
    let (out, _, code) = said(&database, &known).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.starts_with("acknowledged: 1 task of type unknown waits"),
        "{out}"
    );
    let (out, _, code) = said(&database, &["doctor"]).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains(
            "acknowledged by ada (its worker comes tomorrow): 1 task of type unknown waits"
        ),
        "{out}"
    );
    let (out, _, _) = said(
        &database,
        &known[..3]
            .iter()
            .map(|it| match *it {
                "acknowledge" => "unacknowledge",
                it => it,
            })
            .collect::<Vec<_>>(),
    )
    .await;
    assert_eq!(out, "unserved of unknown in queue default counts again\n");
    assert_eq!(said(&database, &["doctor"]).await.2, Some(1));
}

#[tokio::test]
async fn of_one_problem_no_two_have_the_same_subject() {
    let (_database, pool) = database().await;
    live(&pool).await;
    execute(
        &pool,
        "insert into taskq.task (task_type, queue) values ('unknown', 'default'), ('unknown', 'mail'), ('greet', 'mail');
         select taskq.pause_queue('greet'); select taskq.pause_task_type('greet');
         select taskq.limit_concurrency('queue', 'greet', 0); select taskq.limit_concurrency('task_type', 'greet', 0);
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state)
         select 100 + n, 'greet', '{}', 'default', 0, now(), 3, 0, jsonb_build_array(jsonb_build_object('error', chr(96 + n))), 'discarded'
         from generate_series(1, 3) as n",
    )
    .await;
    let found = taskq::operate(&pool).doctor().await.expect("examined");
    let mut names: Vec<(String, String)> = Vec::new();
    for it in found {
        let name = (it.problem, it.subject);
        assert!(!names.contains(&name), "{name:?} twice");
        names.push(name);
    }
    let count = |problem: &str| names.iter().filter(|(it, _)| it == problem).count();
    let counts = ["unserved", "paused", "limit", "dead"].map(count);
    assert_eq!(counts, [3, 2, 2, 3], "{names:?}");
}

#[tokio::test]
async fn the_command_line_acknowledges_all_of_one_kind_at_once() {
    let (database, pool) = database().await;
    paused_twice(&pool).await;
    let all = ["acknowledge", "paused", "--all", "--because", "a freeze"];
    let (out, err, code) = said(&database, &all).await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out.lines().count(), 2, "{out}");
    let (_, found) = told(&pool).await;
    let known = found.iter().filter(|it| it.problem == "paused");
    let known: Vec<_> = known.map(|it| it.acknowledged.as_ref()).collect();
    assert!(
        known.len() == 2
            && known
                .iter()
                .all(|it| it.is_some_and(|it| it.reason.as_deref() == Some("a freeze"))),
        "{known:?}"
    );
    let (_, err, code) = said(&database, &all).await;
    assert!(
        code == Some(1) && err.contains("or all is acknowledged"),
        "{err}"
    );
    let (_, err, code) = said(&database, &["acknowledge", "paused"]).await;
    assert!(code == Some(2) && err.contains("SUBJECT"), "{err}");
}

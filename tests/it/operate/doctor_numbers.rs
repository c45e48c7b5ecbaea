//! Numbers in what a doctor says: with the nouns and verbs that agree with them, and with their thousands apart.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection, PgPool};
use taskq::operate::Ailment;

use super::doctor::live;
use crate::cli::said;
use crate::support::database;

/// So many are left out below the fifth of what is told one by one.
const TOLD: i64 = 5;

/// Stages all that has a number, so many times each.
async fn staged(pool: &PgPool, number: i64) {
    live(pool).await;
    let sql = format!(
        "alter table taskq.task set (autovacuum_enabled = no);
         insert into taskq.task (task_type) select 'unknown' from generate_series(1, {number});
         insert into taskq.task (task_type, queue) select 'greet', 'stopped' from generate_series(1, {number});
         select taskq.pause_queue('stopped');
         insert into taskq.task (task_type, run_at) select 'greet', now() - interval '1 hour' from generate_series(1, {number});
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state)
         select 100000 + n, 'greet', '{{}}', 'default', 0, now(), 3, 0, '[{{\"error\": \"no\"}}]', 'discarded'
         from generate_series(1, {number}) as n;
         insert into taskq.refused (task_id, task_type, payload, refusal)
         select 200000 + n, 'greet', '{{}}', '{{\"message\": \"no such order\"}}' from generate_series(1, {number}) as n;
         insert into taskq.limit_rule (scope, name, kind, fields, declared_most, on_dead)
         values ('key', 'step', 'sequence', '{{order}}', 1, 'block'), ('task_type', 'busy', 'concurrency', null, 0, null);
         insert into taskq.dead (task_id, task_type, payload, queue, priority, created_at, attempts, crashes, state)
         values (300000, 'step', '{{\"order\": 1}}', 'default', 0, now(), 3, 0, 'discarded');
         insert into taskq.task (task_type, payload) select 'step', '{{\"order\": 1}}' from generate_series(1, {number});
         insert into taskq.unique_key (task_type, key, task_id, until)
         select 'greet', to_jsonb(n), 400000 + n, 'done' from generate_series(1, {number}) as n;
         insert into taskq.worker (worker_id, host, process_id, queues, task_types, seen_at, expires_at)
         select md5(n::text)::uuid, 'there', n, '{{}}', '{{}}', now() - n * interval '1 s' - interval '1 minute', now() - interval '1 minute'
         from generate_series(1, {TOLD} + {number}) as n;
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads,
             priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), md5('1')::uuid, 'gone', now() - interval '2 minutes', array_agg(500000 + n),
             array_agg('busy'::text), array_agg(0::smallint), array_agg('{{}}'::jsonb), array_agg(0::smallint),
             array_agg(now()), array_agg(now()), array_agg(9), array_agg(0), array_agg(0), array_agg('[]'::jsonb)
         from generate_series(1, {number}) as n;
         insert into taskq.lease (lease_id, worker_id, queue, expires_at, claimed_at, task_ids, task_types, payload_versions, payloads,
             priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
         select gen_random_uuid(), worker.worker_id, 'slow', now() + interval '1 hour', now() - interval '1000 days',
             array[600000 + n], array['greet'], '{{0}}', array['{{}}'::jsonb], '{{0}}', array[now()], array[now()], '{{9}}', '{{0}}',
             '{{0}}', array['[]'::jsonb]
         from generate_series(1, {TOLD} + 1) as n cross join taskq.worker where worker.expires_at > now();
         insert into taskq.minute values (date_trunc('minute', now()), 'slow', 'greet', 20, 0, 0, '{{20}}', '{{20}}')"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(pool)
        .await
        .expect("staged");
}

/// Those whose number is staged.
const STAGED: [&str; 9] = [
    "blocked",
    "dead",
    "lease",
    "over limit",
    "pace",
    "paused",
    "refused",
    "unserved",
    "vanished worker",
];

/// Returns what in a sentence is not as people write it.
fn slips(said: &str) -> Vec<String> {
    let words = said.split([' ', '(', ')']);
    let words = words.map(|word| word.trim_matches([',', ';', ':', '.']));
    let words = words.filter(|word| !word.is_empty());
    let words: Vec<&str> = std::iter::once("so:").chain(words).collect();
    let is_long = |word: &str| {
        let whole = word.split('.').next().unwrap_or_default();
        whole.len() > 3 && whole.bytes().all(|it| it.is_ascii_digit())
    };
    let counts_nothing = ["task", "process", "session", "worker", "port", "version"];
    let pairs = words.windows(2).filter_map(|pair| match pair {
        [before, word] if is_long(word) && !counts_nothing.contains(before) => {
            Some(format!("{before} {word}"))
        }
        ["1", word] if word.ends_with('s') && !["s", "is", "has"].contains(word) => {
            Some(format!("1 {word}"))
        }
        _ => None,
    });
    let agree = words.windows(5).filter_map(|five| match five {
        ["1", "task", "of", ..] => None,
        ["1", _, verb, ..] if ["are", "have", "wait", "run"].contains(verb) => {
            Some(format!("1 … {verb}"))
        }
        _ => None,
    });
    pairs.chain(agree).collect()
}

#[test]
fn a_slip_is_seen() {
    for wrong in [
        "1 tasks of type greet wait",
        "and so have 1 others",
        "1667 tasks of type greet have died",
        "with 1 connections, of which",
        "In the last 5 minutes 2000.0 came in a minute",
        "or 1 row are dead and still there",
    ] {
        assert_eq!(slips(wrong).len(), 1, "{wrong}");
    }
    for right in [
        "1 task of type greet waits behind task 300000",
        "1,667 tasks; process 12345; 1 s ago; 1 is in use; session 12345, whose",
    ] {
        assert_eq!(slips(right), [""; 0], "{right}");
    }
}

async fn told(pool: &PgPool) -> Vec<Ailment> {
    // So that what is open, is told.
    let operator = taskq::operate(pool).patience(std::time::Duration::ZERO);
    let found = operator.doctor().await.expect("examined");
    let ours = found.into_iter().filter(|it| {
        // Other tests have transactions open, too.
        it.problem != "open transaction" || it.said.contains("'forgotten'")
    });
    ours.collect()
}

#[tokio::test]
async fn one_is_one_and_many_are_many_in_all_that_is_said() {
    for (number, other) in [(1, "1 other"), (1_667, "1,667 others")] {
        let (database, pool) = database().await;
        staged(&pool, number).await;
        let mut open = pool.acquire().await.expect("a connection").detach();
        let mut tx = open.begin().await.expect("begun");
        sqlx::query("select 'forgotten', txid_current()")
            .execute(&mut *tx)
            .await
            .expect("asked");
        let found = told(&pool).await;
        tx.rollback().await.expect("rolled back");
        open.close().await.expect("closed");
        let problems: BTreeSet<&str> = found.iter().map(|it| it.problem.as_str()).collect();
        for problem in STAGED {
            assert!(problems.contains(problem), "{problem}: {found:#?}");
        }
        for problem in ["open transaction", "perhaps stuck", "limit"] {
            assert!(problems.contains(problem), "{problem}: {found:#?}");
        }
        assert_eq!(problems.contains("keys"), number > 999);
        for it in &found {
            for text in [&it.said, &it.advice] {
                assert_eq!(slips(text), [""; 0], "{text}");
            }
        }
        // Each has the number in it.
        let words = if number == 1 { "1 " } else { "1,667 " };
        for problem in STAGED {
            let all = found.iter().filter(|it| it.problem == problem);
            let all: Vec<&String> = all.map(|it| &it.said).collect();
            assert!(
                all.iter().any(|it| it.contains(words)),
                "{problem}: {all:?}"
            );
        }
        let vanished = found.iter().filter(|it| it.problem == "vanished worker");
        let vanished: Vec<&str> = vanished.map(|it| it.said.as_str()).collect();
        assert!(vanished.concat().contains(other), "{vanished:?}");
        let stuck = found.iter().find(|it| it.problem == "perhaps stuck");
        let stuck = &stuck.expect("told").said;
        assert!(stuck.contains("has run for 1,000 days"), "{stuck}");

        // A shell prints the same.
        let (out, _, _) = said(&database, &["doctor", "--json"]).await;
        let printed: Vec<Ailment> = serde_json::from_str(&out).expect("JSON");
        let same = |it: &&Ailment| {
            ["blocked", "lease", "refused", "unserved"].contains(&it.problem.as_str())
        };
        let texts = |all: &[Ailment]| -> Vec<String> {
            let texts = all.iter().filter(same).map(|it| it.said.clone());
            texts.collect()
        };
        assert_eq!(texts(&printed), texts(&found));
    }
}

#[tokio::test]
async fn why_a_task_waits_is_said_in_whole_sentences() {
    for number in [1_i64, 1_667] {
        let (_database, pool) = database().await;
        live(&pool).await;
        let sql = format!(
            "update taskq.worker set slots = {number};
             insert into taskq.task (task_type) select 'greet' from generate_series(1, {number} + 1);
             insert into taskq.lease (lease_id, worker_id, queue, expires_at, task_ids, task_types, payload_versions, payloads,
                 priorities, run_ats, created_ats, max_attempts, attempts, crashes, errors)
             select gen_random_uuid(), worker_id, 'default', now() + interval '1 minute', array_agg(500000 + n),
                 array_agg('greet'::text), array_agg(0::smallint), array_agg('{{}}'::jsonb), array_agg(0::smallint),
                 array_agg(now()), array_agg(now()), array_agg(9), array_agg(0), array_agg(0), array_agg('[]'::jsonb)
             from generate_series(1, {number}) as n cross join taskq.worker
             group by worker_id"
        );
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&pool)
            .await
            .expect("staged");
        let last = sqlx::query_scalar("select max(task_id) from taskq.task");
        let last: i64 = last.fetch_one(&pool).await.expect("a task");
        let why = async |reason: &str| {
            let told = taskq::operate(&pool).why(last).await.expect("told");
            let told = told.into_iter().map(|it| (it.reason, it.said));
            let told = told.filter(|(it, _)| it == reason).map(|(_, said)| said);
            told.collect::<Vec<_>>().concat()
        };
        let next = why("next").await;
        let expected = match number {
            1 => {
                "Before it stands 1 of its type and priority, and its workers have 1 slot, of which 1 is in use"
            }
            _ => {
                "Before it stand 1,667 of its type and priority, and its workers have 1,667 slots, of which 1,667 are in use"
            }
        };
        assert!(next.ends_with(expected), "{next}");
        let limit = format!("select taskq.limit_concurrency('task_type', 'greet', {number})");
        sqlx::raw_sql(AssertSqlSafe(limit))
            .execute(&pool)
            .await
            .expect("limited");
        let expected = match number {
            1 => "1 of 1 of type greet runs: task 500001",
            _ => "1,667 of 1,667 of type greet run: task 500001, task 500002",
        };
        let limit = why("limit").await;
        assert!(limit.starts_with(expected), "{limit}");
    }
}

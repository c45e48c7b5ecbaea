//! Telling who did what, when and why.

use serde_json::json;
use serde_json::value::RawValue;
use sqlx::types::Uuid;
use sqlx::{PgPool, query_scalar};
use taskq::OperateError;
use taskq::chrono::{TimeDelta, Utc};
use taskq::handler::KeepFor;
use taskq::operate::{Filter, Operator, Queue, Severity, TaskState, VERBS, Verb};

use super::enqueue;
use crate::cli::said;
use crate::support::{database, execute, one};

#[tokio::test]
async fn the_command_audit_tells_who_did_what() {
    let (database, pool) = database().await;
    assert_eq!(
        said(&database, &["audit"]).await.0,
        "nobody has done anything\n"
    );
    let operator = taskq::operate(&pool).as_user("ada");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let task_id = enqueue(&pool, "mail", "{}").await;
        operator
            .cancel(task_id)
            .because("a\x1b[31m reason")
            .await
            .expect("cancelled");
        ids.push(task_id);
    }
    let (text, _, _) = said(&database, &["audit", "--most", "2"]).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let end = format!(
        "ada: cancel of task {} (mail), which was waiting: a [31m reason",
        ids[2]
    );
    assert!(lines[0].ends_with(&end), "{text}");
    let before = lines[2]
        .strip_prefix("go on: --before ")
        .expect("where it goes on");
    let (text, _, _) = said(&database, &["audit", "--before", before, "--json"]).await;
    let page: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["entries"][0]["task_id"], ids[0]);
    assert!(page["next"].is_null());
}

#[tokio::test]
async fn the_audit_says_what_was_done_to_all_that_matched_and_to_schedules_in_words() {
    let (database, pool) = database().await;
    let operator = taskq::operate(&pool).as_user("ada");
    for _ in 0..2 {
        enqueue(&pool, "mail", "{}").await;
    }
    let filter: Filter = "type:mail".parse().expect("a filter");
    let left = operator.cancel_all(&filter).await.expect("frozen");
    operator.drop_bulk(left.bulk_id).await.expect("left");
    let done = operator
        .cancel_all(&filter)
        .because("a mistake")
        .await
        .expect("frozen");
    operator.run_bulk(done.bulk_id, |_| {}).await.expect("done");
    execute(
        &pool,
        "select taskq.declare_schedules('{nightly}', array['{\"expression\": \"0 6 * * *\", \"timezone\": \"UTC\",
             \"task_type\": \"mail\", \"payload\": {}, \"options\": {}, \"catch_up\": \"once\", \"overlap\": \"allow\",
             \"jitter\": 0}'::jsonb], 3600);
         select taskq.upsert_schedule('nightly', '0 7 * * *', 'mail', by => 'ada');
         select taskq.run_schedule('nightly', by => 'ada');
         select taskq.remove_schedule('nightly', by => 'ada')",
    )
    .await;
    let (text, _, _) = said(&database, &["audit"]).await;
    let lines = text
        .lines()
        .rev()
        .map(|line| line.split_once(' ').expect("a time").1);
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "ada: forget of operation 1, cancel of 2 tasks: type:mail",
            "ada: cancel of all 2 tasks that matched type:mail (operation 2): a mistake",
            "ada: make or change of schedule nightly, 0 7 * * * UTC, mail",
            "ada: run by hand of schedule nightly, task 3 (mail)",
            "ada: undo the change of schedule nightly, which was 0 7 * * * UTC, mail",
        ],
        "{text}"
    );
    let shown = operator.show(3).await.expect("read").expect("it waits");
    let told: Vec<String> = shown.timeline().into_iter().map(|it| it.text).collect();
    assert!(
        told.contains(&"enqueued by ada, who had its schedule run".to_owned()),
        "{told:?}"
    );
}

/// Puts there what verbs need, but for what each test task of its own has.
async fn staged(pool: &PgPool) {
    execute(
        pool,
        "insert into taskq.limit_rule (scope, name, kind, fields, declared_most, on_dead)
         values ('key', 'fair', 'fair', '{tenant_id}', 1, null), ('key', 'ordered', 'sequence', '{order_id}', 1, 'block');
         insert into taskq.sequence_block (task_id, task_type, key, payload, state)
         values (77, 'ordered', '[7]', '{\"order_id\": 7}', 'discarded');
         insert into taskq.refused (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes)
         values (88, 'mail', 1, '{}', 'default', 0, now(), now(), 0, 0);
         insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at, slots)
         values ('00000000-0000-0000-0000-000000000001', 'a', 1, '{}', '{}', now() + interval '1 hour', 1),
                ('00000000-0000-0000-0000-000000000002', 'b', 2, '{}', '{}', now() - interval '1 hour', 1);
         select taskq.upsert_schedule('nightly', '0 6 * * *', 'mail')",
    )
    .await;
}

fn payload() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("JSON")
}

/// Does one thing that an operator can ask.
async fn act(verb: &Verb, operator: &Operator, pool: &PgPool) -> Result<(), OperateError> {
    const WHY: &str = "why";
    let waiting = enqueue(pool, "mail", "{}").await;
    let dead = enqueue(pool, "mail", "{}").await;
    operator.cancel(dead).because("staged").await?;
    let dead_ones: Filter = format!("state:cancelled id:{dead}")
        .parse()
        .expect("a filter");
    let mut connection = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut connection)
        .as_user("ada")
        .because(WHY);
    match verb.name {
        "cancel" => _ = operator.cancel(waiting).because(WHY).await?,
        "retry, now or at a time" => _ = operator.retry(dead).because(WHY).await?,
        "discard" => _ = operator.discard(dead).because(WHY).await?,
        "edit the payload, and retry" => {
            _ = operator.edit(dead, payload()).because(WHY).await?;
        }
        "enqueue by name and JSON" => {
            _ = operator.enqueue("mail", payload()).because(WHY).await?;
        }
        "take a refused task back" => _ = operator.take_back(88).because(WHY).await?,
        "say for how long tasks are kept" => {
            let keeping = operator.keep("mail", TaskState::Discarded, KeepFor::Forever);
            keeping.because(WHY).await?;
        }
        "have what is declared hold again" => {
            let resetting = operator.reset_keep("mail", TaskState::Discarded);
            assert!(resetting.because(WHY).await?);
        }
        "seal a group" => {
            let begun = query_scalar("select taskq.begin_group('mail')");
            let group_id: i64 = begun.fetch_one(pool).await.expect("begun");
            operator.seal_group(group_id).because(WHY).await?;
        }
        "stop a worker" => drop(
            operator
                .stop_worker(Uuid::from_u128(1))
                .because(WHY)
                .await?,
        ),
        "forget a vanished worker" => {
            assert!(
                operator
                    .forget_worker(Uuid::from_u128(2))
                    .because(WHY)
                    .await?
            );
        }
        "end a session" => {
            let mut open = pool.begin().await.expect("a transaction");
            let process_id = query_scalar("select pg_backend_pid() from txid_current()");
            let process_id: i32 = process_id.fetch_one(&mut *open).await.expect("an id");
            _ = operator.end_session(process_id).because(WHY).await?;
        }
        "freeze all that match" => {
            let frozen = operator.retry_all(&dead_ones).because(WHY).await?;
            assert!(operator.drop_bulk(frozen.bulk_id).because(WHY).await?);
        }
        "do it to what is frozen" => {
            let frozen = operator.retry_all(&dead_ones).because(WHY).await?;
            _ = operator.run_bulk(frozen.bulk_id, |_| ()).await?;
        }
        "stop that" => {
            let frozen = operator.retry_all(&dead_ones).await?;
            _ = operator.stop_bulk(frozen.bulk_id).because(WHY).await?;
        }
        "acknowledge trouble" => {
            let known = operator.acknowledge("setting", "fsync", Severity::Warning);
            known.because(WHY).await?;
        }
        "have it count again" => {
            assert!(
                operator
                    .unacknowledge("setting", "fsync")
                    .because(WHY)
                    .await?
            );
        }
        "pause" => _ = operator.pause(Queue("mail")).because(WHY).await?,
        "resume" => _ = operator.resume(Queue("mail")).because(WHY).await?,
        "limit" => drop(
            operator
                .limit(Queue("mail"))
                .concurrency(3)
                .because(WHY)
                .await?,
        ),
        "reset limits" => _ = operator.reset_limits(Queue("mail")).because(WHY).await?,
        "say the weight of a key" => {
            let weighing = operator.weight("fair", json!({ "tenant_id": 7 }));
            _ = weighing.set(2).because(WHY).await?;
        }
        "skip a dead task" => _ = operator.skip_dead(77).frees(0).because(WHY).await?,
        "make or change a schedule" => {
            let upsert = "select taskq.upsert_schedule('nightly', '0 7 * * *', 'mail', reason => $1, by => 'ada')";
            let said = sqlx::query(upsert).bind(WHY).execute(pool).await;
            said.expect("said");
        }
        "run a schedule" => _ = schedules.run_now("nightly").await?,
        "backfill a schedule" => {
            let to = Utc::now();
            let ids = schedules
                .backfill("nightly", to - TimeDelta::days(2)..to)
                .await?;
            assert_eq!(ids.len(), 2);
        }
        "remove a schedule" => _ = schedules.remove("nightly").await?,
        other => panic!("`{other}` is new: do it here"),
    }
    Ok(())
}

#[tokio::test]
async fn each_act_of_the_table_leaves_who_when_and_why() {
    let (_database, pool) = database().await;
    staged(&pool).await;
    let operator = taskq::operate(&pool).as_user("ada");
    // What every worker does each minute is nobody's act.
    let acts = VERBS
        .iter()
        .filter(|verb| verb.changes && verb.name != "prune what is kept no longer");
    for verb in acts {
        let before: i64 = one(&pool, "select coalesce(max(audit_id), 0) from taskq.audit").await;
        let done = act(verb, &operator, &pool).await;
        assert!(done.is_ok(), "{}: {done:?}", verb.name);
        let left: Vec<(String, Option<String>, bool, bool)> = sqlx::query_as(
            "select by, reason, at between now() - interval '1 minute' and clock_timestamp(),
                    num_nonnulls(task_id, bulk_id, worker_id, name) > 0
             from taskq.audit
             where audit_id > $1 and reason is distinct from 'staged'",
        )
        .bind(before)
        .fetch_all(&pool)
        .await
        .expect("readable");
        let expected = ("ada".to_owned(), Some("why".to_owned()), true, true);
        // An edit is a retry, too.
        assert!(
            !left.is_empty() && left.iter().all(|row| *row == expected),
            "{}: {left:?}",
            verb.name
        );
    }
}

#[tokio::test]
async fn each_function_that_changes_something_takes_who_and_why() {
    let (_database, pool) = database().await;
    // What runs inside an act that has a name already; and what any program may call.
    let others = [
        "step_bulk",
        "begin_bulk",
        "enqueue",
        "prune_kept",
        "prune_history_day",
    ];
    let changing = VERBS.iter().filter(|verb| verb.changes);
    for name in changing
        .flat_map(|verb| verb.sql)
        .filter(|name| !others.contains(name))
    {
        let takes: Vec<Vec<String>> = query_scalar(
            "select proargnames from pg_proc where pronamespace = 'taskq'::regnamespace and proname = $1",
        )
        .bind(name)
        .fetch_all(&pool)
        .await
        .expect("readable");
        assert_eq!(takes.len(), 1, "{name}");
        for word in ["reason", "by"] {
            assert!(
                takes[0].iter().any(|it| it == word),
                "taskq.{name} has no `{word}`"
            );
        }
    }
}

//! Secret fields of payloads: their values are in nothing that taskq shows, logs or says.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sqlx::PgPool;
use taskq::json::RawValue;
use taskq::operate::Filter;
use taskq::{OperateError, Payload as _, task};
use tracing::Level;

use crate::cli::said;
use crate::support::{database, drain, execute, one, task, worker};

/// Is in each secret field of these tests, and nowhere else.
pub(crate) const CANARY: &str = "cAnAry-7f3a\"x";

/// What is left of it where quotes are escaped, or where it was cut.
pub(crate) const MARK: &str = "cAnAry";

#[task(alias = "old_connect", derive(Debug, Clone), max_attempts = 1)]
pub(crate) async fn connect(
    attempt: &taskq::Attempt,
    usr_id: i64,
    #[secret]
    #[garde(length(max = 40))]
    #[serde(rename = "apiToken", alias = "key")]
    token: String,
    #[serde(default)] how: String,
) -> Result<(), taskq::error::BoxError> {
    match how.as_str() {
        "fail" => Err(format!("{usr_id} has no right with {token}, that is {token:?}").into()),
        "source" => {
            let source = anyhow::anyhow!("no right with {token}");
            Err(source
                .context(format!("cannot go on with {token:?}"))
                .into())
        }
        "panic" => panic!("no connection with {token}"),
        "discard" => Err(taskq::outcome::discard(format!("bad token {token}")).into()),
        "wish" => {
            attempt.cancel(format!("not with {token}"));
            Ok(())
        }
        _ => Ok(()),
    }
}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
pub(crate) struct Charge {
    pub(crate) usr_id: i64,
    #[taskq(secret)]
    pub(crate) card: Value,
}

pub(crate) fn connecting(how: &str) -> Connect {
    Connect {
        usr_id: 42,
        token: CANARY.to_owned(),
        how: how.to_owned(),
    }
}

pub(crate) fn charge() -> Charge {
    Charge {
        usr_id: 42,
        card: json!({"number": CANARY, "year": 2031}),
    }
}

/// What is logged on this thread, at every level.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub(crate) fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("whole")).into_owned()
    }
}

pub(crate) fn assert_clean(what: &str, text: &str) {
    assert!(!text.contains(MARK), "{what} tells the secret: {text}");
}

/// Everything in the tables but the payloads themselves.
pub(crate) async fn beside_the_payloads(pool: &PgPool) -> String {
    one(
        pool,
        "select concat_ws(
             E'\n',
             (select string_agg(lines::text, ' ') from taskq.log_chunk),
             (select string_agg(concat(task.errors, task.metadata), ' ') from taskq.task),
             (select string_agg(concat(dead.errors, dead.metadata, dead.cause), ' ') from taskq.dead),
             (select string_agg(to_jsonb(refused)::text, ' ') from (select refusal, errors from taskq.refused) as refused),
             (select string_agg(to_jsonb(audit)::text, ' ') from taskq.audit),
             (select string_agg(to_jsonb(counter)::text, ' ') from taskq.counter)
         )",
    )
    .await
}

#[tokio::test]
async fn what_a_handler_says_of_a_secret_value_is_neither_logged_nor_stored() {
    let (_database, pool) = database().await;
    let (lines, _guard) = Lines::capture();
    let mut conn = pool.acquire().await.expect("a connection");
    let hows = ["fail", "panic", "discard", "wish", "ok", "source"];
    let tasks = taskq::enqueue_many(&mut conn, hows.map(connecting)).await;
    let ids: Vec<i64> = tasks
        .expect("enqueued")
        .iter()
        .map(|it| it.task_id)
        .collect();
    drop(conn);
    // Neither decodes: a wrong type, and a value that is refused.
    sqlx::query(
        "insert into taskq.task (task_type, payload) values ('connect', $1), ('connect', $2)",
    )
    .bind(json!({"usr_id": 1, "apiToken": [CANARY]}))
    .bind(json!({"usr_id": 1, "apiToken": format!("{CANARY}{}", "x".repeat(40))}))
    .execute(&pool)
    .await
    .expect("inserted");
    drain(worker(&pool).only::<(Connect,)>(), &pool).await;
    let error = async |id: i64| task(&pool, id).await.expect("dead").error().to_owned();
    assert_eq!(
        error(ids[0]).await,
        "42 has no right with ***, that is \"***\""
    );
    let panicked = error(ids[1]).await;
    assert!(panicked.ends_with(": no connection with ***"), "{panicked}");
    assert_eq!(error(ids[2]).await, "discarded: bad token ***");
    assert_eq!(error(ids[3]).await, "not with ***");
    assert!(task(&pool, ids[4]).await.is_none(), "it has completed");
    assert_eq!(
        error(ids[5]).await,
        "cannot go on with \"***\": no right with ***"
    );
    let invalid: Vec<String> = sqlx::query_scalar(
        "select errors -> -1 ->> 'error' from taskq.dead where state = 'invalid' order by 1",
    )
    .fetch_all(&pool)
    .await
    .expect("readable");
    let not_said = "the field is secret, so what is wrong with its value is not said";
    assert_eq!(
        invalid,
        [
            format!("payload does not decode at `apiToken`: {not_said}"),
            format!("the payload has values that its task type refuses: `token`: {not_said}"),
        ]
    );
    let log = lines.text();
    assert!(
        log.contains("attempt failed") || log.contains("task discarded"),
        "{log}"
    );
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    assert_clean("the log", &log);
    assert_clean("a table", &beside_the_payloads(&pool).await);
}

#[tokio::test]
async fn a_program_that_does_not_know_the_type_shows_no_secret_value() {
    let (database, pool) = database().await;
    let mut conn = pool.acquire().await.expect("a connection");
    // No worker has ever started: their enqueues have said which fields are secret.
    let one_by_one = taskq::enqueue(&mut conn, charge()).await.expect("enqueued");
    let many = taskq::enqueue_many(&mut conn, [charge(), charge()]).await;
    let many = many.expect("enqueued");
    taskq::enqueue_copy(&mut conn, [charge()])
        .await
        .expect("copied");
    drop(conn);
    let (out, _, _) = said(&database, &["show", &one_by_one.task_id.to_string()]).await;
    assert!(out.contains(r#"{"card": "***", "usr_id": 42}"#), "{out}");
    let named: i64 = one(
        &pool,
        r#"select count(*) from taskq.task where metadata = '{"task.secret": ["card"]}'"#,
    )
    .await;
    assert_eq!(named, 4);
    execute(
        &pool,
        "select taskq.cancel(task_id) from taskq.task where task_id % 2 = 0",
    )
    .await;
    // Enqueued from SQL: a worker has said it at its start.
    drop(
        worker(&pool)
            .only::<(Connect,)>()
            .build()
            .await
            .expect("a worker"),
    );
    let of_sql: i64 = sqlx::query_scalar(
        "insert into taskq.task (task_type, payload, run_at) values ('old_connect', $1, now() + interval '1 day') returning task_id",
    )
    .bind(json!({"usr_id": 1, "key": CANARY, "how": "fail"}))
    .fetch_one(&pool)
    .await
    .expect("inserted");
    let unreadable: i64 = sqlx::query_scalar(
        "insert into taskq.task (task_type, payload, run_at) values ('connect', $1, now() + interval '1 day') returning task_id",
    )
    .bind(json!([CANARY]))
    .fetch_one(&pool)
    .await
    .expect("inserted");
    sqlx::query("select taskq.enqueue('connect', $1, '{\"unique_fields\": [\"apiToken\"], \"delay\": 90000}')")
        .bind(json!({"usr_id": 2, "apiToken": CANARY}))
        .execute(&pool)
        .await
        .expect("enqueued");
    sqlx::query("select taskq.upsert_schedule('nightly', '0 3 * * *', 'connect', $1)")
        .bind(json!({"usr_id": 3, "apiToken": CANARY}))
        .execute(&pool)
        .await
        .expect("made");
    let ids: Vec<i64> = sqlx::query_scalar("select task_id from taskq.tasks order by 1")
        .fetch_all(&pool)
        .await
        .expect("readable");
    assert_eq!(ids.len(), 7, "and {many:?}");
    for id in ids {
        let id = id.to_string();
        let masked = match id == unreadable.to_string() {
            true => r#""***""#,
            false => ": \"***\"",
        };
        for arguments in [vec!["show", &id], vec!["show", &id, "--json"]] {
            let (out, err, code) = said(&database, &arguments).await;
            assert_eq!(code, Some(0), "{err}");
            assert!(out.contains(masked), "{out}");
            assert_clean("show", &format!("{out}{err}"));
        }
        let shown: Value = sqlx::query_scalar("select taskq.show($1)")
            .bind(id.parse::<i64>().expect("an id"))
            .fetch_one(&pool)
            .await
            .expect("shown");
        assert_clean("taskq.show", &shown.to_string());
    }
    let bad_edit = format!(r#"{{"usr_id": 1, "apiToken": "{MARK}"}}"#);
    let of_sql = of_sql.to_string();
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["causes"],
        &["causes", "--json"],
        &["check"],
        &["check", "--json"],
        &["tasks"],
        &["schedules"],
        &["schedules", "--json"],
        &["limits"],
        &["sequences"],
        &["paused"],
        &["doctor"],
        &["doctor", "--json"],
        &["bulk", "list"],
        &["retry", &of_sql],
        &["retry", "--all", "type:charge", "--dry-run"],
        &["cancel", &of_sql],
        &["edit", &of_sql, &bad_edit],
        &["enqueue", "connect", &bad_edit],
        &["discard", &of_sql],
    ] {
        let (out, err, _) = said(&database, arguments).await;
        assert_clean(&arguments.join(" "), &format!("{out}{err}"));
    }
    assert_clean("a table", &beside_the_payloads(&pool).await);
}

#[tokio::test]
async fn a_program_that_has_the_handler_shows_no_secret_value_before_any_worker_started() {
    let (_database, pool) = database().await;
    let id: i64 = sqlx::query_scalar(
        "insert into taskq.task (task_type, payload) values ('old_connect', $1) returning task_id",
    )
    .bind(json!({"usr_id": 1, "key": CANARY}))
    .fetch_one(&pool)
    .await
    .expect("inserted");
    let shown = taskq::operate(&pool).show(id).await.expect("shown");
    let shown = shown.expect("there");
    assert_clean("show", &format!("{shown:?}"));
    let report = worker(&pool).only::<(Connect,)>().check().await;
    assert_clean("the check", &format!("{report:?}"));
}

#[tokio::test]
async fn an_edit_keeps_the_secret_values_that_it_shows_as_stars() {
    let (_database, pool) = database().await;
    let operator = taskq::operate(&pool);
    let mut conn = pool.acquire().await.expect("a connection");
    let id = taskq::enqueue(&mut conn, charge())
        .await
        .expect("enqueued")
        .task_id;
    drop(conn);
    let edit = async |payload: Value| {
        operator.cancel(id).await.expect("cancelled");
        let payload = RawValue::from_string(payload.to_string()).expect("JSON");
        let edited = operator.edit(id, payload).await;
        let stored: Value = one(&pool, "select payload from taskq.tasks").await;
        (edited, stored)
    };
    let card = charge().card;
    let (edited, stored) = edit(json!({"usr_id": 43, "card": "***"})).await;
    edited.expect("edited");
    assert_eq!(stored, json!({"usr_id": 43, "card": card}));
    let (_, stored) = edit(json!({"usr_id": 44, "card": {"number": "1"}})).await;
    assert_eq!(stored, json!({"usr_id": 44, "card": {"number": "1"}}));
    // Other fields may say what they like.
    let (_, stored) = edit(json!({"usr_id": "***", "note": "***"})).await;
    assert_eq!(stored, json!({"usr_id": "***", "note": "***"}));
    let (edited, stored) = edit(json!({"usr_id": 45, "card": "***"})).await;
    match edited {
        Err(OperateError::Refused { message }) => assert_eq!(
            message,
            "card is secret, and *** stands for its stored value, which the task does not have: say the value"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        stored,
        json!({"usr_id": "***", "note": "***"}),
        "nothing has changed"
    );
}

#[tokio::test]
async fn nobody_can_look_for_a_secret_value() {
    let (_database, pool) = database().await;
    drop(
        worker(&pool)
            .only::<(Connect,)>()
            .build()
            .await
            .expect("a worker"),
    );
    let operator = taskq::operate(&pool);
    let list = async |filter: &str| {
        let filter: Filter = filter.parse().expect("a filter");
        operator.list(&filter).await
    };
    for filter in [
        "payload.apiToken:x",
        "type:con* payload.key:x",
        "type:connect payload.apiToken.0:x",
    ] {
        match list(filter).await {
            Err(OperateError::Refused { message }) => {
                assert!(
                    message.contains("is a secret field of tasks of type"),
                    "{message}"
                );
            }
            other => panic!("{filter}: {other:?}"),
        }
    }
    for filter in ["payload.usr_id:42", "type:send_card payload.key:x"] {
        assert!(list(filter).await.is_ok(), "{filter}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_secret_value_is_not_said_to_who_enqueues_it() {
    let (_database, pool) = database().await;
    let mut conn = pool.acquire().await.expect("a connection");
    let mut long = connecting("");
    long.token = CANARY.repeat(5);
    assert!(long.validate().is_err(), "garde refuses it");
    let error = taskq::enqueue(&mut conn, long).await.expect_err("refused");
    assert_clean("the error", &format!("{error} {error:?}"));
    assert_eq!(
        error.to_string(),
        "the payload of `connect` has values that its task type refuses: `token`: the field is secret, so what is wrong with its value is not said"
    );
    let unique = taskq::unique::Unique::new();
    let error = taskq::enqueue(&mut conn, charge()).unique(unique).await;
    assert_eq!(
        error.expect_err("refused").to_string(),
        "`unique` would be made of `card` too, which is secret: name the fields that make the key"
    );
    // A check of the user's, of which Postgres tells the whole row.
    execute(
        &pool,
        "alter table taskq.task add check (task_type <> 'charge')",
    )
    .await;
    let error = taskq::enqueue(&mut conn, charge())
        .await
        .expect_err("refused");
    assert_clean("the error", &format!("{error} {error:?}"));
    assert_clean("Debug", &format!("{:?}", connecting("")));
    assert_eq!(
        format!("{:?}", connecting("")),
        r#"Connect { usr_id: 42, token: ***, how: "" }"#
    );
}

#[tokio::test]
#[should_panic = r#"
  task 1, waiting: usr_id is 42, not 43; card is another secret value; {"card":"***","usr_id":42}"#]
async fn an_assertion_of_a_test_does_not_tell_a_secret_value() {
    let (_database, pool) = database().await;
    let mut conn = pool.acquire().await.expect("a connection");
    taskq::enqueue(&mut conn, charge()).await.expect("enqueued");
    let card = json!("4000 0000");
    taskq::assert_enqueued!(
        &mut conn,
        Charge {
            usr_id: 43,
            card,
            ..
        }
    );
}

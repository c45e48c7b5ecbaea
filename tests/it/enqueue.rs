//! Enqueueing: in the caller's transaction, typed, from SQL, one and many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use taskq::{EnqueueError, Schema, task};

use crate::support::{database, drain, execute, one, states};

#[task(
    queue = "mail",
    priority = 3,
    max_attempts = 7,
    derive(Clone, Debug, PartialEq)
)]
async fn send(usr_id: i64, #[serde(default)] locale: Option<String>) {
    let _ = (usr_id, locale);
}

#[derive(sqlx::FromRow, Debug, PartialEq)]
struct Row {
    task_type: String,
    payload: serde_json::Value,
    queue: String,
    priority: i16,
    max_attempts: Option<i32>,
    attempts: i32,
}

async fn rows(pool: &sqlx::PgPool) -> Vec<Row> {
    sqlx::query_as("select task_type, payload, queue, priority, max_attempts, attempts from taskq.task order by task_id")
        .fetch_all(pool)
        .await
        .expect("rows")
}

#[tokio::test]
async fn a_transaction_that_rolls_back_leaves_nothing() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    Send::enqueue(&mut tx, 1, None).await.expect("enqueued");
    taskq::enqueue_many(
        &mut tx,
        (0..10).map(|usr_id| Send {
            usr_id,
            locale: None,
        }),
    )
    .await
    .expect("enqueued");
    tx.rollback().await.expect("rolled back");
    assert!(states(&pool).await.is_empty());
}

#[tokio::test]
async fn the_row_says_what_the_type_declares() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    let enqueued = Send::enqueue(&mut tx, 42, Some("de".into()))
        .await
        .expect("enqueued");
    tx.commit().await.expect("committed");
    assert_eq!(
        enqueued.task_id,
        one::<i64>(&pool, "select task_id from taskq.task").await
    );
    assert_eq!(
        rows(&pool).await,
        [Row {
            task_type: "send".into(),
            payload: serde_json::json!({"usr_id": 42, "locale": "de"}),
            queue: "mail".into(),
            priority: 3,
            max_attempts: Some(7),
            attempts: 0,
        }]
    );
}

#[tokio::test]
async fn options_of_the_builder_are_written() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let payload = Send {
        usr_id: 1,
        locale: None,
    };
    taskq::enqueue(&mut db, payload.clone())
        .queue("bulk")
        .priority(-5)
        .max_attempts(1)
        .delay(Duration::from_secs(90))
        .await
        .expect("enqueued");
    let row = &rows(&pool).await[0];
    assert_eq!(
        (row.queue.as_str(), row.priority, row.max_attempts),
        ("bulk", -5, Some(1))
    );
    let delay: f64 = one(
        &pool,
        "select extract(epoch from run_at - created_at)::float8 from taskq.task",
    )
    .await;
    assert!((delay - 90.0).abs() < 0.001, "{delay}");

    let run_at = Utc::now() + TimeDelta::days(3);
    let task_id = taskq::enqueue(&mut db, payload)
        .run_at(run_at)
        .await
        .expect("enqueued")
        .task_id;
    let stored: chrono::DateTime<Utc> =
        sqlx::query_scalar("select run_at from taskq.task where task_id = $1")
            .bind(task_id)
            .fetch_one(&mut *db)
            .await
            .expect("stored");
    assert!((stored - run_at).abs() < TimeDelta::milliseconds(1));
}

#[tokio::test]
async fn options_out_of_range_are_refused_before_anything_is_sent() {
    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    let payload = || Send {
        usr_id: 1,
        locale: None,
    };
    let refused = [
        taskq::enqueue(&mut tx, payload()).max_attempts(0).await,
        taskq::enqueue(&mut tx, payload()).queue("").await,
        taskq::enqueue(&mut tx, payload())
            .queue("x".repeat(201))
            .await,
        taskq::enqueue(&mut tx, payload())
            .delay(Duration::MAX)
            .await,
    ];
    for result in refused {
        assert!(
            matches!(result, Err(EnqueueError::Option { .. })),
            "{result:?}"
        );
    }
    // The transaction is still of use.
    Send::enqueue(&mut tx, 1, None).await.expect("enqueued");
}

#[tokio::test]
async fn a_payload_without_json_is_an_error_of_the_caller() {
    #[task]
    async fn keyed(map: std::collections::BTreeMap<(i32, i32), String>) {
        let _ = map;
    }

    let (_database, pool) = database().await;
    let mut tx = pool.begin().await.expect("a transaction");
    let map = [((1, 2), "no".to_owned())].into();
    let error = Keyed::enqueue(&mut tx, map)
        .await
        .expect_err("keys are no strings");
    assert_eq!(
        error.to_string(),
        "the payload of `keyed` would not come back from Postgres as it is: `map`: a key must be a string"
    );
}

#[tokio::test]
async fn many_are_returned_in_the_order_given() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let enqueued = taskq::enqueue_many(
        &mut db,
        (0..25_000).map(|usr_id| Send {
            usr_id,
            locale: None,
        }),
    )
    .await
    .expect("enqueued");
    assert_eq!(enqueued.len(), 25_000);
    let task_ids: Vec<i64> = enqueued.iter().map(|it| it.task_id).collect();
    let in_order: bool = sqlx::query_scalar(
        "select bool_and((payload ->> 'usr_id')::bigint = given.position - 1)
         from unnest($1::bigint[]) with ordinality as given (task_id, position) join taskq.task using (task_id)",
    )
    .bind(task_ids)
    .fetch_one(&mut *db)
    .await
    .expect("compared");
    assert!(in_order);
    let none = taskq::enqueue_many(&mut db, std::iter::empty::<Send>())
        .await
        .expect("nothing to do");
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_bare_insert_inside_a_cte_is_a_correct_enqueue() {
    let (_database, pool) = database().await;
    execute(&pool, "create table usr (usr_id bigint generated always as identity primary key, email text unique)").await;
    let signup = "with usr_ as (insert into usr (email) values ('a@example.org') returning usr_id),
         task_ as (insert into taskq.task (task_type, payload)
                   select 'send', jsonb_build_object('usr_id', usr_id) from usr_)
         select usr_id from usr_";
    let usr_id: i64 = one(&pool, signup).await;
    assert_eq!(
        rows(&pool).await,
        [Row {
            task_type: "send".into(),
            payload: serde_json::json!({"usr_id": usr_id}),
            queue: "default".into(),
            priority: 0,
            max_attempts: None,
            attempts: 0,
        }]
    );
    sqlx::query(signup)
        .execute(&pool)
        .await
        .expect_err("the address is taken");
    assert_eq!(states(&pool).await["waiting"], 1);
}

#[tokio::test]
async fn the_tables_refuse_what_no_worker_could_handle() {
    let (_database, pool) = database().await;
    for insert in [
        "insert into taskq.task (task_type) values ('')",
        "insert into taskq.task (task_type) values (repeat('x', 201))",
        "insert into taskq.task (task_type, queue) values ('a', '')",
        "insert into taskq.task (task_type, max_attempts) values ('a', 0)",
        "insert into taskq.task (task_type, run_at) values ('a', 'infinity')",
        "insert into taskq.task (task_type, created_at) values ('a', '-infinity')",
        "insert into taskq.task (task_type, payload) values ('a', null)",
        "insert into taskq.task (task_type, errors) values ('a', '{}')",
    ] {
        sqlx::query(insert).execute(&pool).await.expect_err(insert);
    }
}

#[tokio::test]
async fn enqueueing_without_tables_says_what_to_do() {
    let (_database, pool) = database().await;
    execute(&pool, "drop schema taskq cascade").await;
    let mut db = pool.acquire().await.expect("a connection");
    let error = Send::enqueue(&mut db, 1, None)
        .await
        .expect_err("no tables");
    assert!(
        error
            .to_string()
            .contains("run `taskq::migrate(&pool)` first"),
        "{error}"
    );
}

#[tokio::test]
async fn another_schema_is_another_world() {
    let (_database, pool) = database().await;
    let schema = Schema::named("tasks_of_mine").expect("a name");
    schema.migrate(&pool).await.expect("migrated");
    let mut db = pool.acquire().await.expect("a connection");
    taskq::enqueue(
        &mut db,
        Send {
            usr_id: 1,
            locale: None,
        },
    )
    .schema(schema)
    .await
    .expect("enqueued");
    let second = Send {
        usr_id: 2,
        locale: None,
    };
    schema
        .enqueue_many(&mut db, [second])
        .await
        .expect("enqueued");
    assert!(states(&pool).await.is_empty());
    let worker = taskq::Worker::builder(pool.clone())
        .queue("mail", 2)
        .schema(schema)
        .only::<(Send,)>();
    crate::support::while_working(
        worker,
        crate::support::until("run", async || {
            one::<i64>(&pool, "select count(*) from tasks_of_mine.tasks").await == 0
        }),
    )
    .await;
}

#[tokio::test]
async fn tasks_enqueued_by_copy_run_with_their_payloads_unharmed() {
    #[task(queue = "copied", priority = 3, max_attempts = 7)]
    async fn copied(texts: &Mutex<Vec<String>>, text: String) {
        texts.lock().expect("not poisoned").push(text);
    }

    let (_database, pool) = database().await;
    let odd = [
        "a\\b",
        "tab\tnewline\n\r",
        "\\N",
        "\"quoted\"",
        "ünï\u{1f600}",
    ];
    let mut tx = pool.begin().await.expect("a transaction");
    let payloads = odd.into_iter().map(|text| Copied {
        text: text.to_owned(),
    });
    assert_eq!(
        taskq::enqueue_copy(&mut tx, payloads)
            .await
            .expect("copied"),
        5
    );
    let many = (0..20_000).map(|n| Copied {
        text: n.to_string(),
    });
    assert_eq!(
        taskq::enqueue_copy(&mut tx, many).await.expect("copied"),
        20_000
    );
    tx.commit().await.expect("committed");
    let options: i64 = one(
        &pool,
        "select count(*) from taskq.task
         where queue = 'copied' and priority = 3 and max_attempts = 7 and payload_version = 1 and run_at <= now()",
    )
    .await;
    assert_eq!(options, 20_005);

    let texts = Arc::new(Mutex::new(Vec::<String>::new()));
    let worker = taskq::Worker::builder(pool.clone())
        .queue("copied", 10)
        .only::<(Copied,)>()
        .state_arc(texts.clone());
    drain(worker, &pool).await;
    let texts = texts.lock().expect("not poisoned");
    assert_eq!(texts.len(), 20_005);
    assert!(odd.iter().all(|text| texts.iter().any(|it| it == text)));
}

#[tokio::test]
async fn a_copy_with_a_payload_that_has_no_json_inserts_nothing() {
    #[task]
    async fn keyed(_map: HashMap<Vec<u8>, u8>) {}

    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let payloads = [HashMap::new(), HashMap::from([(vec![1], 1)])];
    let payloads = payloads.into_iter().map(|map| Keyed { map });
    let error = taskq::enqueue_copy(&mut db, payloads)
        .await
        .expect_err("no JSON");
    assert!(
        matches!(error, EnqueueError::Encode { index: Some(1), .. }),
        "{error}"
    );
    assert!(states(&pool).await.is_empty());
    // The connection is of use still.
    let none: [Keyed; 0] = [];
    assert_eq!(taskq::enqueue_copy(&mut db, none).await.expect("copied"), 0);
}

#[tokio::test]
async fn a_payload_that_the_table_finds_too_large_is_named() {
    #[task]
    async fn note(text: String) {
        let _ = text;
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        "create function pad() returns trigger language plpgsql as $$
         begin
             new.payload := new.payload || jsonb_build_object('pad', repeat('x', 1100000));
             return new;
         end $$;
         create trigger pad before insert on taskq.task
         for each row when (length(new.payload ->> 'text') > 1000) execute function pad()",
    )
    .await;
    let notes = || [1, 1, 2_000, 1].map(|length| "x".repeat(length));
    let payloads = || notes().map(|text| Note { text });
    let mut db = pool.acquire().await.expect("a connection");
    let [_, _, long, _] = notes();
    let one = Note::enqueue(&mut db, long).await.map(drop);
    let many = taskq::enqueue_many(&mut db, payloads()).await.map(drop);
    let copied = taskq::enqueue_copy(&mut db, payloads()).await.map(drop);
    for (enqueued, place) in [(one, None), (many, Some(2)), (copied, Some(2))] {
        let error = enqueued.expect_err("refused");
        let EnqueueError::TooLarge { index, limit, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!((index, limit), (place, 1_048_576));
    }
    let error = Note::enqueue(&mut db, "x".repeat(2_000)).await;
    let text = error.expect_err("refused").to_string();
    let expected = "the payload of `note` is about 2,020 bytes long, and the table does not take it though it may have 1,048,576: the check `task_payload_size` was changed, or a trigger makes it larger";
    assert_eq!(text, expected);
}

//! The features, and how each is enqueued.

use sqlx::PgConnection;
use taskq::{Group, Many};

use super::*;

/// What is enqueued, which states its tasks then have, and what was noted by handlers that kept what they did.
pub(super) type Feature = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

pub(super) const FEATURES: &[Feature] = &[
    ("plain: succeed", &[], &[]),
    ("plain: fail", &["waiting"], &[]),
    ("plain: fail at last", &["discarded"], &[]),
    ("plain: retry at once", &[], &[]),
    ("plain: retry at once always", &["discarded"], &[]),
    ("plain: snooze", &["waiting"], &[]),
    ("plain: discard", &["discarded"], &[]),
    ("plain: cancel", &["cancelled"], &[]),
    ("plain: panic", &["waiting"], &[]),
    ("hangs", &["waiting"], &[]),
    ("in tx: succeed", &[], &["succeed"]),
    ("in tx: fail", &["waiting"], &[]),
    ("in tx: fail at last", &["discarded"], &[]),
    ("in tx: retry at once", &[], &["retry at once"]),
    ("in tx: snooze", &["waiting"], &[]),
    ("in tx: discard", &["discarded"], &[]),
    ("in tx: cancel", &["cancelled"], &[]),
    ("in tx: panic", &["waiting"], &[]),
    ("in tx: hang", &["waiting"], &[]),
    ("in tx: swallow", &["waiting"], &[]),
    ("in tx: defer", &["waiting"], &[]),
    ("in tx: enqueue", &[], &["enqueue", "enqueued"]),
    ("in tx: enqueue and fail", &["waiting"], &[]),
    ("lazily: succeed", &[], &["succeed"]),
    ("lazily: never begin", &[], &[]),
    ("lazily: fail before", &["waiting"], &[]),
    ("lazily: fail", &["waiting"], &[]),
    ("lazily: discard", &["discarded"], &[]),
    ("lazily: panic", &["waiting"], &[]),
    ("on discard: tell", &["discarded"], &["no luck: tell"]),
    ("on discard: refuse", &["waiting"], &[]),
    ("on discard: swallow", &["waiting"], &[]),
    ("on discard: defer", &["waiting"], &[]),
    ("asks: agreed", &[], &["hook: completed"]),
    ("asks: refused", &["waiting"], &[]),
    ("asks: refused at last", &["waiting"], &[]),
    ("asks: hook panics", &["waiting"], &[]),
    ("asks: hook swallows", &["waiting"], &[]),
    ("asks: hook defers", &["waiting"], &[]),
    ("asks: fail", &["waiting"], &[]),
    ("asks: fail at last", &["discarded"], &["hook: discarded"]),
    ("asks: discard", &["discarded"], &["hook: discarded"]),
    ("asks: discard, refused", &["waiting"], &[]),
    ("asks in tx: agreed", &[], &["agreed", "hook: completed"]),
    ("asks in tx: refused", &["waiting"], &[]),
    ("asks in tx: refused at last", &["waiting"], &[]),
    ("asks in tx: hook panics", &["waiting"], &[]),
    ("asks in tx: hook swallows", &["waiting"], &[]),
    ("asks in tx: fail", &["waiting"], &[]),
    ("asks in tx: discard", &["discarded"], &["hook: discarded"]),
    ("asks in tx: discard, refused", &["waiting"], &[]),
    ("asks lazily: agreed", &[], &["agreed", "hook: completed"]),
    ("asks lazily: never begin", &[], &["hook: completed"]),
    ("asks lazily: refused", &["waiting"], &[]),
    (
        "asks and tells: agreed",
        &["discarded"],
        &["told", "hook: discarded"],
    ),
    ("asks and tells: refused", &["waiting"], &[]),
    ("asks and sums up", &["completed"], &["hook: completed"]),
    ("batch: succeed", &[], &[]),
    (
        "batch: succeed, fail, discard, cancel",
        &["waiting", "discarded", "cancelled"],
        &[],
    ),
    ("batch: fail, wrong", &["waiting", "invalid"], &[]),
    ("batch in tx: a, b, c", &[], &["a", "b", "c"]),
    (
        "batch in tx: a, fail, c",
        &["waiting", "waiting", "waiting"],
        &[],
    ),
    ("batch in tx: a, panic", &["waiting", "waiting"], &[]),
    ("batch in tx: a, defer", &["waiting", "waiting"], &[]),
    (
        "batch in tx: a, discard",
        &["discarded", "discarded"],
        &["a: discarded: too late", "discard: discarded: too late"],
    ),
    ("batch lazily: a, b", &[], &["a", "b"]),
    ("batch lazily: a, short", &["waiting", "waiting"], &[]),
    ("result", &["completed"], &[]),
    ("result in tx", &["completed"], &[]),
    ("unique", &[], &[]),
    (
        "sequence",
        &["discarded", "waiting"],
        &["1.1", "2.1", "2.2"],
    ),
    ("rate", &["waiting"], &[]),
    ("concurrency by key", &[], &["tenant 1", "tenant 1"]),
    (
        "fair",
        &[],
        &["turn of 1", "turn of 2", "turn of 1", "turn of 2"],
    ),
    ("secret", &["waiting"], &[]),
    ("invalid", &["invalid"], &[]),
    ("expired", &["expired"], &[]),
    ("plain: say and fail", &["waiting"], &[]),
    ("plain: say", &[], &[]),
    ("in tx: say and fail", &["waiting"], &[]),
    ("later", &["waiting"], &[]),
    ("paused", &["waiting"], &[]),
    ("unknown", &["waiting"], &[]),
    ("priority", &[], &["first", "second", "third"]),
    ("other queue", &[], &["elsewhere"]),
    (
        "group",
        &["discarded", "completed", "discarded"],
        &["3 of 5 completed"],
    ),
    ("group of none", &[], &["0 of 0 completed"]),
];

pub(super) async fn enqueue(name: &str, db: &mut PgConnection) {
    let enqueued = match name {
        "hangs" => Hangs::enqueue(db).await.map(drop_result),
        "result" => SumsUp::enqueue(db, 2, 3).await.map(drop_result),
        "result in tx" => SumsUpInTx::enqueue(db, 2, 3).await.map(drop_result),
        "unique" => {
            for _ in 0..2 {
                OneOfAKind::enqueue(db, 7).await.expect("enqueued");
            }
            Ok(())
        }
        "sequence" => {
            for (order, step) in [(1, 1), (2, 1), (1, 2), (1, 3), (2, 2)] {
                InOrder::enqueue(db, order, step).await.expect("enqueued");
            }
            Ok(())
        }
        "rate" => {
            for _ in 0..3 {
                TwiceAnHour::enqueue(db).await.expect("enqueued");
            }
            Ok(())
        }
        "concurrency by key" => {
            for tenant in [1, 1] {
                ByTenant::enqueue(db, tenant).await.expect("enqueued");
            }
            Ok(())
        }
        "fair" => {
            for tenant in [1, 1, 2, 2] {
                InTurns::enqueue(db, tenant).await.expect("enqueued");
            }
            Ok(())
        }
        "asks and sums up" => AsksAndSumsUp::enqueue(db, 2, 3).await.map(drop_result),
        "secret" => Pays::enqueue(db, "4000-0000-1234".into()).await.map(drop_result),
        "group" | "group of none" => {
            let group = Group::begin(db, AtLast {}).await.expect("begun");
            if name == "group" {
                let mut many = Many::new().group(group);
                many.push(OfGroup { how: "fail".into() });
                many.push(OfGroup { how: "add".into() });
                many.push(SumsUp { a: 2, b: 3 });
                many.push(Plain { how: "discard".into() });
                many.enqueue(db).await.expect("enqueued");
            }
            group.seal(db).await
        }
        "later" => Plain::enqueue(db, "later".into()).delay(MINUTE).await.map(drop_result),
        "other queue" => Elsewhere::enqueue(db).await.map(drop_result),
        "priority" => {
            for (how, priority) in [("third", 3), ("first", 1), ("second", 2)] {
                let task = InTx::enqueue(db, how.into()).priority(priority);
                task.await.expect("enqueued");
            }
            Ok(())
        }
        "invalid" => return say(db, r#"insert into taskq.task (task_type, payload) values ('plain', '{"how": 7}')"#).await,
        "expired" => return say(
            db,
            r#"insert into taskq.task (task_type, payload, metadata)
               values ('plain', '{"how": "succeed"}', jsonb_build_object('task.expires', '2020-01-01T00:00:00Z'))"#,
        ).await,
        "unknown" => return say(db, "insert into taskq.task (task_type) values ('nobody_knows')").await,
        "paused" => {
            say(db, "select taskq.pause_task_type('plain')").await;
            Plain::enqueue(db, "succeed".into()).await.map(drop_result)
        }
        _ => {
            let (kind, how) = name.split_once(": ").expect("a feature");
            let most = if how.ends_with(" at last") { 1 } else { 3 };
            let how = how.trim_end_matches(" at last").to_owned();
            match kind {
                "batch" | "batch in tx" | "batch lazily" => {
                    for how in how.split(", ").map(str::to_owned) {
                        let one = match kind {
                            "batch" => OneOfMany::enqueue(db, how).await.map(drop_result),
                            "batch in tx" => OneOfManyInTx::enqueue(db, how).await.map(drop_result),
                            _ => OneOfManyLazily::enqueue(db, how).await.map(drop_result),
                        };
                        one.expect("enqueued");
                    }
                    say(db, r#"update taskq.task set payload = '{"how": 7}' where payload @> '{"how": "wrong"}'"#).await;
                    Ok(())
                }
                "plain" => Plain::enqueue(db, how).max_attempts(most).await.map(drop_result),
                "asks" => Asks::enqueue(db, how).max_attempts(most).await.map(drop_result),
                "asks in tx" => AsksInTx::enqueue(db, how).max_attempts(most).await.map(drop_result),
                "asks lazily" => AsksLazily::enqueue(db, how).await.map(drop_result),
                "asks and tells" => AsksAndTells::enqueue(db, how).await.map(drop_result),
                "lazily" => Lazily::enqueue(db, how).await.map(drop_result),
                "on discard" => Tells::enqueue(db, how).await.map(drop_result),
                _ => InTx::enqueue(db, how).max_attempts(most).await.map(drop_result),
            }
        }
    };
    enqueued.expect("enqueued");
}

async fn say(db: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(db).await.expect(sql);
}

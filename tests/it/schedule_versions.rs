//! Programs of several versions that declare schedules, and operators who say something else.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgPool, query, query_scalar};
use taskq::handler::{BoxFuture, Declaration, IntoOutcome, Outcome, Parts, Task};
use taskq::operate::{Removed, Schedule as Named, Upserted};
use taskq::schedule::{CatchUp, Schedule};
use taskq::{Payload, WorkerBuilder, WorkerError};

use crate::schedules::{miss, status, waiting};
use crate::support::{database, one, until, while_working, worker};

#[derive(Serialize, Deserialize, Payload)]
#[taskq(queue = "nowhere")]
struct X {}

#[derive(Serialize, Deserialize, Payload)]
#[taskq(queue = "nowhere")]
struct Y {
    n: Option<i64>,
}

#[derive(Serialize, Deserialize, Payload)]
struct Z {}

/// Makes a handler by hand that declares schedules.
macro_rules! declares {
    ($($task:ident of $payload:ident: $schedules:expr;)+) => {$(
        struct $task;

        impl Task for $task {
            type Payload = $payload;
            const DECLARATION: Declaration = Declaration::new().schedules(const { $schedules });

            fn run<'a>(_: $payload, _: Parts<'a>) -> BoxFuture<'a, Outcome> {
                Box::pin(async { ().into_outcome() })
            }
        }
    )+};
}

declares! {
    OldX of X: &[Schedule::new("0 1 * * *")];
    OldY of Y: &[Schedule::new("0 2 * * *")];
    NewY of Y: &[Schedule::new("0 3 * * *").timezone("Europe/Zurich").payload(r#"{"n": 7}"#)];
    NewZ of Z: &[Schedule::new("0 4 * * *").name("a z"), Schedule::new("0 5 * * *").name("b z")];
    Wrong of X: &[Schedule::new("0 99 * * *")];
    Nowhere of X: &[Schedule::new("@daily").timezone("Mars/Base")];
    Misfit of Y: &[Schedule::new("@daily").payload(r#"{"n": "seven"}"#)];
    Contradiction of X: &[Schedule::new("@daily").catch_up(CatchUp::None).catch_up_within(std::time::Duration::MAX)];
    Twice of X: &[Schedule::new("@daily"), Schedule::new("@hourly")];
}

fn old(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(OldX, OldY)>()
}

fn new(pool: &PgPool) -> WorkerBuilder {
    worker(pool).only::<(NewY, NewZ)>()
}

/// Which expression holds for each living schedule.
async fn holding(pool: &PgPool) -> BTreeMap<String, String> {
    let mut db = pool.acquire().await.expect("a connection");
    let all = taskq::schedules(&mut db).list().await.expect("the list");
    let living = all.into_iter().filter(|it| it.is_alive);
    living.map(|it| (it.name, it.expression)).collect()
}

async fn until_holding(pool: &PgPool, expected: &[(&str, &str)]) {
    let owned = |(name, expression): &(&str, &str)| ((*name).to_owned(), (*expression).to_owned());
    let expected: BTreeMap<_, _> = expected.iter().map(owned).collect();
    until("holding", async || holding(pool).await == expected).await;
}

/// Makes it that the workers which declare these are gone for so long.
async fn gone(pool: &PgPool, expressions: &[&str], seconds: i32) {
    query("update taskq.schedule_definition set declared_until = now() - make_interval(secs => $2) where expression = any ($1)")
        .bind(expressions)
        .bind(f64::from(seconds))
        .execute(pool)
        .await
        .expect("moved");
}

const OLD: [&str; 2] = ["0 1 * * *", "0 2 * * *"];
const NEW: [&str; 3] = ["0 3 * * *", "0 4 * * *", "0 5 * * *"];

#[tokio::test]
async fn two_versions_deployed_over_each_other_neither_delete_nor_double_a_schedule() {
    let (_database, pool) = database().await;
    let olds = [("x", OLD[0]), ("y", OLD[1])];
    let news = [("a z", NEW[1]), ("b z", NEW[2]), ("y", NEW[0])];
    let both = [
        ("a z", NEW[1]),
        ("b z", NEW[2]),
        ("x", OLD[0]),
        ("y", NEW[0]),
    ];
    while_working(old(&pool), async {
        until_holding(&pool, &olds).await;
        // The later one first seen holds.
        while_working(new(&pool), until_holding(&pool, &both)).await;
    })
    .await;
    // It holds though the older one starts again, ...
    while_working(old(&pool), until_holding(&pool, &both)).await;
    // ... and the older comes back where nobody declares the newer: a rollback.
    gone(&pool, &NEW, 1).await;
    while_working(old(&pool), until_holding(&pool, &olds)).await;
    // Rolled out again.
    while_working(new(&pool), until_holding(&pool, &both)).await;
    gone(&pool, &OLD, 1).await;
    until_holding(&pool, &news).await;
    // Nobody is there: all rest, and none is gone.
    gone(&pool, &NEW, 1).await;
    until_holding(&pool, &[]).await;
    assert_eq!(
        one::<i64>(&pool, "select count(*) from taskq.schedule").await,
        4
    );
    while_working(new(&pool), until_holding(&pool, &news)).await;
}

/// Three versions of three schedules come and go at random, beside a model of who should hold.
#[tokio::test]
async fn the_later_definition_first_seen_holds_in_any_order_of_comings_and_goings() {
    let (_database, pool) = database().await;
    let end = include_str!("../../taskq/src/store/sql/schedule/end_undeclared.sql");
    let names = ["x", "y", "z"];
    // By name and version: when it was first seen, and whether it is declared.
    let mut seen = BTreeMap::<(usize, usize), (u32, bool)>::new();
    let mut held = BTreeMap::<usize, usize>::new();
    let mut random = fastrand::Rng::with_seed(11);
    for step in 0..300 {
        let (version, some) = (random.usize(0..3), random.u8(1..8));
        let declared: Vec<usize> = (0..3).filter(|name| some & (1 << name) != 0).collect();
        let definition = json!({
            "expression": format!("{version} * * * *"), "timezone": "UTC", "task_type": "t", "payload": {},
            "options": {}, "catch_up": "once", "catch_up_within": null, "overlap": "allow", "jitter": 0,
        });
        if random.bool() {
            query("select taskq.declare_schedules($1, $2, 90)")
                .bind(declared.iter().map(|name| names[*name]).collect::<Vec<_>>())
                .bind(vec![definition; declared.len()])
                .execute(&pool)
                .await
                .expect("declared");
            for name in declared {
                let first_seen = seen.get(&(name, version)).map_or(step, |it| it.0);
                seen.insert((name, version), (first_seen, true));
            }
        } else {
            gone(&pool, &[&format!("{version} * * * *")], 1).await;
            query(end)
                .bind(3600.0)
                .bind(true)
                .execute(&pool)
                .await
                .expect("looked");
            seen.iter_mut()
                .filter(|((_, of), _)| *of == version)
                .for_each(|(_, it)| it.1 = false);
        }
        for (name, known) in names.iter().enumerate() {
            let living = seen.iter().filter(|((of, _), it)| *of == name && it.1);
            if let Some(((_, latest), _)) = living.max_by_key(|(_, it)| it.0) {
                held.insert(name, *latest);
            }
            let holds: Option<String> = query_scalar(
                "select expression from taskq.schedule join taskq.schedule_definition using (definition_id) where schedule.name = $1",
            )
            .bind(known)
            .fetch_optional(&pool)
            .await
            .expect("a row or none");
            let expected = held.get(&name).map(|version| format!("{version} * * * *"));
            assert_eq!(holds, expected, "{known} in step {step}");
        }
    }
}

#[tokio::test]
async fn a_schedule_that_rests_owes_what_it_missed_and_one_that_has_ended_owes_nothing() {
    let (_database, pool) = database().await;
    let now: DateTime<Utc> = one(&pool, "select now()").await;
    let end = async |may_end: bool| -> Vec<String> {
        query_scalar(include_str!(
            "../../taskq/src/store/sql/schedule/end_undeclared.sql"
        ))
        .bind(86_400.0)
        .bind(may_end)
        .fetch_all(&pool)
        .await
        .expect("looked")
    };
    while_working(
        old(&pool),
        until_holding(&pool, &[("x", OLD[0]), ("y", OLD[1])]),
    )
    .await;
    for name in ["x", "y"] {
        miss(&pool, name, now - TimeDelta::days(3)).await;
    }
    gone(&pool, &[OLD[0]], 3600).await;
    gone(&pool, &[OLD[1]], 90_000).await;
    // A worker that does not declare it does not take its ticks either.
    while_working(
        worker(&pool).only::<(NewZ,)>(),
        until_holding(&pool, &[("a z", NEW[1]), ("b z", NEW[2])]),
    )
    .await;
    assert!(waiting(&pool, "x").await.is_empty());
    assert!(end(false).await.is_empty(), "others may be coming back");
    assert_eq!(end(true).await, ["y"]);
    while_working(old(&pool), async {
        until("taken", async || !waiting(&pool, "x").await.is_empty()).await;
        until("told", async || {
            status(&pool, "y").await.next_tick.is_some()
        })
        .await;
    })
    .await;
    assert_eq!(waiting(&pool, "x").await.len(), 1);
    assert!(waiting(&pool, "y").await.is_empty());
    assert_eq!(status(&pool, "y").await.skipped_missed, 0);
}

#[tokio::test]
async fn what_an_operator_has_said_outlives_programs_and_can_be_taken_back() {
    let (_database, pool) = database().await;
    let operator = taskq::operate(&pool).as_user("ada");
    while_working(
        old(&pool),
        until("declared", async || holding(&pool).await.len() == 2),
    )
    .await;
    while_working(
        new(&pool),
        until("declared", async || holding(&pool).await.len() == 4),
    )
    .await;
    operator
        .pause(Named("a z"))
        .because("a freeze")
        .await
        .expect("paused");
    let mut db = pool.acquire().await.expect("a connection");
    let mut schedules = taskq::schedules(&mut db).as_user("ada");
    let said = schedules
        .upsert("y", "30 3 * * *", "UTC", Y { n: None })
        .await;
    assert_eq!(said.expect("said"), Upserted::Changed);
    for work in [new(&pool), old(&pool), new(&pool)] {
        while_working(work, async {
            until("told", async || {
                status(&pool, "y").await.next_tick.is_some()
            })
            .await;
            let y = status(&pool, "y").await;
            assert_eq!(
                (&*y.expression, y.made_by.as_deref()),
                ("30 3 * * *", Some("ada"))
            );
            assert_eq!(y.declares.as_deref(), Some("0 3 * * * Europe/Zurich"));
            let pause = status(&pool, "a z").await.pause.expect("paused");
            assert_eq!(pause.reason.as_deref(), Some("a freeze"));
        })
        .await;
    }
    let mut schedules = taskq::schedules(&mut db);
    let error = schedules
        .remove("b z")
        .await
        .expect_err("declared")
        .to_string();
    assert!(
        error.contains("a program declares the schedule b z"),
        "{error}"
    );
    assert_eq!(
        schedules.remove("y").await.expect("taken back"),
        Removed::Reset
    );
    assert_eq!(status(&pool, "y").await.expression, "0 3 * * *");
    assert_eq!(status(&pool, "y").await.made_by, None);
    // Nothing declares it any more: by hand it can be removed.
    gone(&pool, &NEW, 1).await;
    assert_eq!(
        taskq::schedules(&mut db)
            .remove("b z")
            .await
            .expect("removed"),
        Removed::Gone
    );
}

#[tokio::test]
async fn a_worker_does_not_start_with_a_schedule_that_cannot_be_followed() {
    let (_database, pool) = database().await;
    async fn said(worker: WorkerBuilder) -> String {
        match worker.build().await {
            Err(error @ WorkerError::Schedule { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
    let work = || worker(&pool);
    let wrong = said(work().only::<(Wrong,)>()).await;
    assert!(
        wrong.contains("the schedule `x` (tests/it/schedule_versions.rs:"),
        "{wrong}"
    );
    assert!(wrong.contains("the hour `99` is not allowed"), "{wrong}");
    assert!(
        said(work().only::<(Nowhere,)>())
            .await
            .contains("knows no time zone `Mars/Base`")
    );
    let misfit = said(work().only::<(Misfit,)>()).await;
    assert!(
        misfit.contains("its payload `{\"n\": \"seven\"}` does not fit"),
        "{misfit}"
    );
    assert!(
        said(work().only::<(Contradiction,)>())
            .await
            .contains("`CatchUp::None` catches nothing up")
    );
    assert!(
        said(work().only::<(Twice,)>())
            .await
            .contains("another schedule has this name")
    );
}

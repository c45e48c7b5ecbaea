//! A thousand who wait: how often they ask, and that each is told its own.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::PgPool;
use taskq::{Enqueued, task};
use tokio::time::sleep;

use super::{LONG, Resize, size};
use crate::support::{database, drain, execute, one, until, while_working, worker};

/// How often the query of all who wait was made on the connections of a pool that nobody else uses.
async fn queries(pool: &PgPool) -> i64 {
    let mut connections = Vec::new();
    let mut queries = 0;
    for _ in 0..pool.options().get_max_connections() {
        let mut connection = pool.acquire().await.expect("a connection");
        let made = "select coalesce(sum(generic_plans + custom_plans), 0)::bigint from pg_prepared_statements
                    where statement like '/* taskq ended */%'";
        let made: i64 = sqlx::query_scalar(made)
            .fetch_one(&mut *connection)
            .await
            .expect("counted");
        queries += made;
        connections.push(connection);
    }
    queries
}

async fn enqueue(pool: &PgPool, count: u32) -> Vec<Enqueued<Resize>> {
    let mut db = pool.acquire().await.expect("a connection");
    let tasks = (0..count).map(|width| Resize {
        width,
        end: String::new(),
    });
    taskq::enqueue_many(&mut db, tasks).await.expect("enqueued")
}

#[tokio::test]
async fn a_thousand_callers_make_few_queries_and_each_is_told_its_own() {
    let (database, pool) = database().await;
    let own = database.pool_of(3);
    let tasks = enqueue(&pool, 1_000).await;
    let waits = join_all(tasks.iter().map(|task| task.wait(&own, LONG)));
    let counting = async {
        // All of them are there.
        sleep(Duration::from_millis(500)).await;
        let before = queries(&own).await;
        sleep(Duration::from_secs(4)).await;
        let made = queries(&own).await - before;
        drain(worker(&pool).only::<(Resize,)>(), &pool).await;
        made
    };
    let (sizes, made) = tokio::join!(waits, counting);
    // From 0.5 s on every 50 ms, from 0.8 s every 100 ms, from 1.6 s every 200 ms, from 3.2 s every 400 ms.
    assert!((8..=40).contains(&made), "{made} queries in four seconds");
    for (width, waited) in (0..).zip(sizes) {
        assert_eq!(waited.expect("it succeeds"), size(width));
    }
}

/// At most fifty a second, however the ends come.
#[tokio::test]
async fn ends_that_are_told_one_by_one_are_asked_for_together() {
    let (database, pool) = database().await;
    let own = database.pool_of(3);
    enqueue(&pool, 1_000).await;
    execute(
        &pool,
        r#"update taskq.task set metadata = '{"task.awaited": true}'"#,
    )
    .await;
    let mut db = pool.acquire().await.expect("a connection");
    let told = Resize::enqueue(&mut db, 1_000, "".into()).awaited().await;
    let told = told.expect("enqueued");
    let first: i64 = one(&pool, "select min(task_id) from taskq.task").await;
    let handles = (first..told.task_id).map(taskq::Handle::<Resize>::of);
    let began = tokio::time::Instant::now();
    let own_pool = &own;
    let waits = join_all(handles.map(|handle| async move { handle.wait(own_pool, LONG).await }));
    let working = while_working(worker(&pool).only::<(Resize,)>(), async {
        tokio::join!(waits, told.wait(&own, LONG))
    });
    let (sizes, last) = working.await;
    assert_eq!(last.expect("it succeeds"), size(1_000));
    assert!(sizes.iter().all(Result::is_ok));
    let most = began.elapsed().as_millis() / 20 + 1;
    // One of the three listens, and goes back when nobody waits.
    let made = queries(&own).await;
    assert!(u128::try_from(made).expect("positive") <= most, "{made}");
}

#[tokio::test]
async fn a_result_of_a_megabyte_comes_whole() {
    #[task(result = "keep")]
    async fn draw(seed: u64, bytes: usize) -> Result<String, String> {
        let mut random = fastrand::Rng::with_seed(seed);
        Ok((0..bytes).map(|_| random.alphanumeric()).collect())
    }
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    let mut tasks = Vec::new();
    for seed in 0..8 {
        let enqueue = Draw::enqueue(&mut db, seed, 1_000_000).awaited();
        tasks.push((seed, enqueue.await.expect("enqueued")));
    }
    let waits = tasks.iter().map(|(_, task)| task.wait(&pool, LONG));
    let pictures = while_working(worker(&pool).only::<(Draw,)>(), join_all(waits)).await;
    for ((seed, _), picture) in tasks.iter().zip(pictures) {
        let expected = draw(*seed, 1_000_000).await.expect("drawn");
        assert!(picture.expect("it succeeds") == expected, "seed {seed}");
    }
}

/// As a process of a web server has them: they come and go all the time.
#[tokio::test]
async fn callers_that_come_and_go_leave_nobody_behind() {
    let (_database, pool) = database().await;
    let tasks = enqueue(&pool, 300).await;
    let working = while_working(worker(&pool).only::<(Resize,)>(), async {
        let mut waits = Vec::new();
        for (place, task) in tasks.into_iter().enumerate() {
            let pool = pool.clone();
            let wait = tokio::spawn(async move { task.wait(&pool, LONG).await });
            sleep(Duration::from_millis(2)).await;
            match place % 3 {
                0 => wait.abort(),
                _ => waits.push(wait),
            }
        }
        join_all(waits).await
    });
    let waited = working.await;
    assert_eq!(waited.len(), 200);
    assert!(
        waited
            .into_iter()
            .all(|it| it.expect("not aborted").is_ok())
    );
    until("nothing left", async || {
        one::<i64>(
            &pool,
            "select count(*) from taskq.tasks where state <> 'completed'",
        )
        .await
            == 0
    })
    .await;
}

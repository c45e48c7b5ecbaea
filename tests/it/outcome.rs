//! The verbs of a handler survive each way in which an error is usually passed on.

use std::time::Duration;

use taskq::outcome::Decision;
use taskq::task;

use crate::support::{database, drain, one, states, until, while_working, worker};

/// The verb that is wished for, by its name.
fn verb(verb: &str) -> Decision {
    let soon = Duration::from_secs(3600);
    match verb {
        "retry" => taskq::outcome::retry_in(soon),
        "snooze" => taskq::outcome::snooze(soon),
        "discard" => taskq::outcome::discard("out of stock"),
        _ => taskq::outcome::cancel("out of stock"),
    }
}

#[derive(Debug, thiserror::Error)]
enum Shop {
    #[error(transparent)]
    Transparent(anyhow::Error),
    #[error("the shop")]
    From(#[from] Decision),
    #[error("the shop's shop")]
    Source(#[source] Box<Shop>),
}

#[task]
async fn by_anyhow(wish: String) -> anyhow::Result<()> {
    Err(verb(&wish))?
}

#[task]
async fn by_context(wish: String) -> anyhow::Result<()> {
    use anyhow::Context as _;

    let shop: Result<(), Decision> = Err(verb(&wish));
    shop.context("the shop").context("the order")
}

#[task]
async fn by_eyre(wish: String) -> eyre::Result<()> {
    use eyre::WrapErr as _;

    let shop: Result<(), Decision> = Err(verb(&wish));
    shop.wrap_err("the shop").wrap_err("the order")
}

#[task]
async fn by_transparent(wish: String) -> Result<(), Shop> {
    Err(Shop::Transparent(
        anyhow::Error::new(verb(&wish)).context("the shop"),
    ))
}

#[task]
async fn by_from(wish: String) -> Result<(), Shop> {
    Err(verb(&wish))?
}

#[task]
async fn by_source(wish: String) -> Result<(), Shop> {
    Err(Shop::Source(Box::new(verb(&wish).into())))
}

#[task]
async fn by_box(wish: String) -> Result<(), taskq::error::BoxError> {
    Err(verb(&wish))?
}

#[task]
async fn by_all_of_them(wish: String) -> anyhow::Result<()> {
    let shop = Shop::Transparent(anyhow::Error::new(Shop::from(verb(&wish))));
    Err(anyhow::Error::new(shop).context("the order"))
}

const TYPES: i64 = 8;

async fn enqueue_each(pool: &sqlx::PgPool, wish: &str) {
    let mut db = pool.acquire().await.expect("a connection");
    let db = &mut *db;
    ByAnyhow::enqueue(db, wish.into()).await.expect("enqueued");
    ByContext::enqueue(db, wish.into()).await.expect("enqueued");
    ByEyre::enqueue(db, wish.into()).await.expect("enqueued");
    ByTransparent::enqueue(db, wish.into())
        .await
        .expect("enqueued");
    ByFrom::enqueue(db, wish.into()).await.expect("enqueued");
    BySource::enqueue(db, wish.into()).await.expect("enqueued");
    ByBox::enqueue(db, wish.into()).await.expect("enqueued");
    ByAllOfThem::enqueue(db, wish.into())
        .await
        .expect("enqueued");
}

fn handlers(pool: &sqlx::PgPool) -> taskq::WorkerBuilder {
    worker(pool).only::<(
        ByAnyhow,
        ByContext,
        ByEyre,
        ByTransparent,
        ByFrom,
        BySource,
        ByBox,
        ByAllOfThem,
    )>()
}

#[tokio::test]
async fn discard_and_cancel_are_found_behind_any_error() {
    for (wish, state) in [("discard", "discarded"), ("cancel", "cancelled")] {
        let (_database, pool) = database().await;
        enqueue_each(&pool, wish).await;
        drain(handlers(&pool), &pool).await;
        assert_eq!(states(&pool).await, [(state.to_owned(), TYPES)].into());
    }
}

#[tokio::test]
async fn retry_in_and_snooze_are_found_behind_any_error() {
    for (wish, attempts) in [("retry", 1), ("snooze", 0)] {
        let (_database, pool) = database().await;
        enqueue_each(&pool, wish).await;
        // Later than the first backoff, which is seconds.
        let put_off =
            "select count(*) from taskq.task where run_at > now() + interval '50 minutes'";
        let all = async || one::<i64>(&pool, put_off).await == TYPES;
        while_working(handlers(&pool), until("all are put off", all)).await;
        let used: i32 = one(&pool, "select max(attempts) from taskq.task").await;
        assert_eq!(used, attempts, "{wish}");
    }
}

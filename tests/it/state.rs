//! State that differs by task type.

use std::sync::{Arc, Mutex};

use sqlx::PgPool;
use taskq::testing::drain;
use taskq::{Worker, WorkerBuilder, WorkerError, task};
use tokio::sync::Barrier;

use crate::support::{database, worker};

trait Mailer: Send + Sync {
    fn host(&self) -> String;
}

struct Host(&'static str);

impl Mailer for Host {
    fn host(&self) -> String {
        self.0.into()
    }
}

type Sent = Mutex<Vec<String>>;

#[task]
async fn send_receipt(host: &Host, mailer: &dyn Mailer, sent: &Sent) {
    let line = format!("receipt by {} and {}", host.0, mailer.host());
    sent.lock().expect("sent").push(line);
}

#[task]
async fn send_newsletter(host: &Host, mailer: &dyn Mailer, sent: &Sent) {
    let line = format!("newsletter by {} and {}", host.0, mailer.host());
    sent.lock().expect("sent").push(line);
}

fn both(pool: &PgPool, sent: &Arc<Sent>) -> WorkerBuilder {
    worker(pool)
        .only::<(SendReceipt, SendNewsletter)>()
        .state_arc(sent.clone())
}

#[tokio::test]
async fn a_handler_borrows_the_state_of_its_type_and_the_others_that_of_all() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    SendReceipt::enqueue(&mut db).await.expect("enqueued");
    SendNewsletter::enqueue(&mut db).await.expect("enqueued");
    let sent = Arc::new(Sent::default());
    let worker = both(&pool, &sent)
        .state_for::<SendNewsletter, _>(Host("bulk"))
        .state(Host("smtp"))
        .state_arc::<dyn Mailer>(Arc::new(Host("smtp")))
        .state_arc_for::<SendReceipt, dyn Mailer>(Arc::new(Host("signed")));
    assert_eq!(drain(worker).await.expect("it drains").completed, 2);
    let mut sent = sent.lock().expect("sent").clone();
    sent.sort();
    assert_eq!(
        sent,
        ["newsletter by bulk and smtp", "receipt by smtp and signed"]
    );
}

#[tokio::test]
async fn a_state_for_one_type_is_missing_for_the_others() {
    let (_database, pool) = database().await;
    let worker = both(&pool, &Arc::default())
        .state_for::<SendNewsletter, _>(Host("bulk"))
        .state_arc::<dyn Mailer>(Arc::new(Host("smtp")));
    let error = worker.build().await.expect_err("one has no host");
    let WorkerError::MissingState(missing) = &error else {
        panic!("{error:?}");
    };
    let names: Vec<_> = missing.iter().map(|it| it.task_type).collect();
    assert_eq!(names, ["send_receipt"]);
}

#[tokio::test]
async fn a_state_that_the_handler_does_not_borrow_is_refused() {
    let (_database, pool) = database().await;
    let worker = worker(&pool).only::<(SendReceipt,)>();
    let worker = worker.state_for::<SendReceipt, _>(7_u8);
    let error = worker.build().await.expect_err("nobody borrows it");
    let text = error.to_string();
    assert!(
        text.starts_with("`state_for` gives task `send_receipt` the state `u8`, which its handler does not borrow: it borrows `"),
        "{text}"
    );
}

#[task]
async fn meets(host: &Host, barrier: &Barrier, sent: &Sent) {
    barrier.wait().await;
    sent.lock().expect("sent").push(host.0.to_owned());
}

#[tokio::test]
async fn each_of_two_workers_has_the_state_that_it_was_given() {
    let (_database, pool) = database().await;
    let mut db = pool.acquire().await.expect("a connection");
    for _ in 0..2 {
        Meets::enqueue(&mut db).await.expect("enqueued");
    }
    let sent = Arc::new(Sent::default());
    // Neither of the two ends before the other has begun, so each worker has one of them.
    let barrier = Arc::new(Barrier::new(2));
    let named = |name| {
        Worker::builder(pool.clone())
            .only::<(Meets,)>()
            .queue("default", 1)
            .state(Host("nobody"))
            .state_for::<Meets, _>(Host(name))
            .state_arc(barrier.clone())
            .state_arc(sent.clone())
    };
    let (one, two) = tokio::join!(drain(named("one")), drain(named("two")));
    assert_eq!(one.expect("it drains").completed, 1);
    assert_eq!(two.expect("it drains").completed, 1);
    let mut sent = sent.lock().expect("sent").clone();
    sent.sort();
    assert_eq!(sent, ["one", "two"]);
}

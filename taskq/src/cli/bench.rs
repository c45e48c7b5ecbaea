//! `bench`: how fast this database is with plain tasks: enqueueing them, running them, and waking a worker.
//!
//! They are of a type and in a queue of their own, so that no other worker takes them, and are gone afterwards.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Notify;

use super::said::{json, operator};
use crate::attempt::outcome::{IntoOutcome, Outcome};
use crate::attempt::state::{Parts, StateRequirement};
use crate::error::{BoxError, DecodeError, EncodeError};
use crate::json::{decode, encode};
use crate::operate::filter::Filter;
use crate::store::{Schema, Store};
use crate::task::declaration::{Declaration, Task};
use crate::task::options::TaskOptions;
use crate::task::payload::Payload;
use crate::worker::{Worker, WorkerBuilder};

/// The task type, and the queue.
const NAME: &str = "taskq_bench";

/// So many are enqueued in a transaction.
const AT_ONCE: u32 = 1_000;

/// So many run at once.
const SLOTS: usize = 20;

/// A worker has so many connections beside those of its slots, which plain tasks do not use.
const CONNECTIONS: u32 = 12;

/// So often a worker is woken.
const WAKES: usize = 100;

/// Workers that live are busy with something: nobody has said that they may be disturbed.
const NOT_SAID: u8 = 2;

struct Bench(u32);

impl Payload for Bench {
    const TASK_TYPE: &'static str = NAME;
    const OPTIONS: TaskOptions = TaskOptions::new().queue(NAME).max_attempts(1);

    fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
        encode(&self.0)
    }

    fn decode(raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
        decode(raw).map(Self)
    }
}

/// How many have run.
#[derive(Default)]
struct Meter {
    done: AtomicU32,
    one_is_done: Notify,
}

struct BenchHandler;

impl Task for BenchHandler {
    type Payload = Bench;

    const DECLARATION: Declaration = Declaration::new().states(&[StateRequirement::of::<Meter>()]);

    fn run<'a>(Bench(_): Bench, parts: Parts<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let meter = parts.state::<Meter>();
            meter.done.fetch_add(1, Ordering::Relaxed);
            meter.one_is_done.notify_one();
            ().into_outcome()
        })
    }
}

impl Meter {
    async fn wait_for(&self, count: u32) {
        while self.done.load(Ordering::Relaxed) < count {
            self.one_is_done.notified().await;
        }
    }
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    tasks: u32,
    enqueued_per_second: f64,
    run_per_second: f64,
    wake_p50_ms: f64,
    wake_p99_ms: f64,
}

pub(crate) fn command() -> Command {
    Command::new("bench")
        .about("Measures this database with plain tasks of its own, and removes them")
        .arg(
            Arg::new("tasks")
                .long("tasks")
                .value_name("NUMBER")
                .value_parser(clap::value_parser!(u32).range(1..=1_000_000))
                .default_value("10000")
                .help("How many tasks"),
        )
        .arg(
            Arg::new("yes")
                .long("yes")
                .action(ArgAction::SetTrue)
                .help("Does it though workers live, which may become slower meanwhile"),
        )
        .arg(json())
}

pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let operator = operator(builder);
    let living = operator
        .workers()
        .await?
        .iter()
        .filter(|it| it.is_alive)
        .count();
    if living > 0 && !matches.get_flag("yes") {
        eprintln!(
            "error: {living} workers live here, and this may make them slower: --yes does it nevertheless"
        );
        return Ok(ExitCode::from(NOT_SAID));
    }
    let left: Filter = format!("queue:{NAME}").parse()?;
    if !operator.list(&left).most(1).await?.tasks.is_empty() {
        let way_out = format!("or remove what it has left: cancel --all queue:{NAME}");
        return Err(format!("another one runs here, or was killed: wait, {way_out}").into());
    }
    let tasks = *matches.get_one("tasks").ok_or("clap has a default")?;
    let options = builder.pool().connect_options().as_ref().clone();
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
    let pool = pool.connect_lazy_with(options);
    let measured = tokio::select! {
        measured = measure(&pool, builder.tables(), tasks) => measured,
        Ok(()) = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    // Whatever has come of it.
    let mut store = Store::keeping(pool.clone(), builder.tables());
    store.forget_bench(NAME).await?;
    let measured = measured?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        println!(
            "enqueue  {:>8.0} tasks a second, {AT_ONCE} in a transaction",
            measured.enqueued_per_second
        );
        println!(
            "run      {:>8.0} tasks a second, {SLOTS} at once, by one worker",
            measured.run_per_second
        );
        println!(
            "wake     {:>8.1} ms from the commit to the handler; 99 % within {:.1} ms",
            measured.wake_p50_ms, measured.wake_p99_ms
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(pool: &PgPool, schema: Schema, tasks: u32) -> Result<Measured, BoxError> {
    let began = Instant::now();
    for first in (0..tasks).step_by(AT_ONCE as usize) {
        let last = first.saturating_add(AT_ONCE).min(tasks);
        enqueue(pool, schema, first..last).await?;
    }
    let enqueued = began.elapsed();
    let meter = std::sync::Arc::new(Meter::default());
    let worker = Worker::builder(pool.clone())
        .schema(schema)
        .queue(NAME, SLOTS)
        .only::<(BenchHandler,)>()
        .state_arc(meter.clone())
        .build()
        .await?;
    let mut run = Duration::ZERO;
    let mut wakes = Ok(Vec::new());
    let began = Instant::now();
    let until = async {
        meter.wait_for(tasks).await;
        run = began.elapsed();
        wakes = wake(pool, schema, &meter, tasks).await;
    };
    worker.run_until(until).await?;
    let mut wakes = wakes?;
    wakes.sort_unstable();
    let part = |part: usize| {
        let index = (wakes.len() * part / 100).min(wakes.len() - 1);
        wakes[index].as_secs_f64() * 1_000.0
    };
    let rate = |time: Duration| f64::from(tasks) / time.as_secs_f64();
    Ok(Measured {
        tasks,
        enqueued_per_second: rate(enqueued),
        run_per_second: rate(run),
        wake_p50_ms: part(50),
        wake_p99_ms: part(99),
    })
}

async fn enqueue(
    pool: &PgPool,
    schema: Schema,
    numbers: std::ops::Range<u32>,
) -> Result<(), BoxError> {
    let mut tx = pool.begin().await?;
    schema.enqueue_many(&mut tx, numbers.map(Bench)).await?;
    tx.commit().await?;
    Ok(())
}

/// Enqueues a task again and again while the worker is idle, and returns how long each took to start.
async fn wake(
    pool: &PgPool,
    schema: Schema,
    meter: &Meter,
    before: u32,
) -> Result<Vec<Duration>, BoxError> {
    let mut wakes = Vec::with_capacity(WAKES);
    for done in (before..).take(WAKES) {
        // Until it listens again.
        tokio::time::sleep(Duration::from_millis(20)).await;
        enqueue(pool, schema, done..done + 1).await?;
        let committed = Instant::now();
        meter.wait_for(done + 1).await;
        wakes.push(committed.elapsed());
    }
    Ok(wakes)
}

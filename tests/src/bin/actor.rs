//! A worker in a process of its own that records what it does, for the fault tests to kill, to stop
//! and to cut off.

use std::env;
use std::error::Error;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use taskq::Worker;
use taskq_tests::company::Witness;
use taskq_tests::history::{Event, Recorder, now};
use taskq_tests::sessions::{self, Sessions};
use taskq_tests::tasks::{Once, OnceLazily, Repeatable, Single, Tenanted, Ticked};
use taskq_tests::{company, killers};
use tokio::time::sleep;

/// How often the process looks whether it still runs, and what it takes for a gap.
const TICK: Duration = Duration::from_millis(10);
const GAP: Duration = Duration::from_millis(60);

/// How many tasks of the queue with keys, limits and ticks run at once.
const OF_FLOW: usize = 10;

/// How many of the queue with batches, groups and hooks.
const OF_COMPANY: usize = 8;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    // It ends with its test, however that ends.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    let history = Arc::new(Recorder::open(Path::new(&env::var("HISTORY")?))?);
    tokio::spawn(watch(history.clone()));
    let options = PgConnectOptions::from_str(&env::var("DATABASE_URL")?)?;
    let concurrency: usize = setting("CONCURRENCY")?.unwrap_or(10);
    // Whether it also works on tasks that have keys, limits and ticks.
    let has_flow = setting("FLOW")?.unwrap_or_default();
    // Whether it works on tasks that kill their process, and such beside them, instead.
    let has_killers = setting("KILLERS")?.unwrap_or_default();
    let of_flow = if has_flow { OF_FLOW } else { 0 };
    // Whether it works on tasks in company too.
    let has_company = setting("COMPANY")?.unwrap_or_default();
    let of_company = if has_company { OF_COMPANY } else { 0 };
    let pool = PgPoolOptions::new()
        .max_connections(u32::try_from(concurrency + of_flow + of_company)? + 16)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options);
    if setting("WAITS")?.unwrap_or_default() {
        company::wait_for_all(&pool, &history, taskq::shutdown_signal()).await;
        return Ok(());
    }
    let sessions = Sessions {
        are_tried: setting("SESSIONS")?.unwrap_or_default(),
    };
    if sessions.are_tried {
        let (pool, history) = (pool.clone(), history.clone());
        tokio::spawn(async move { sessions::spoil(pool, &history).await });
    }
    let queue = env::var("QUEUE").unwrap_or_else(|_| "default".to_owned());
    let milliseconds = |name| setting(name).map(|it| it.map(Duration::from_millis));
    let listens = setting("LISTEN")?.unwrap_or(true);
    if !listens {
        history.record(Event::Deaf);
    }
    let worker = || {
        let worker = Worker::builder(pool.clone())
            .state_arc(history.clone())
            .state(sessions)
            .queue(&queue, concurrency);
        let worker = if has_killers {
            worker.only::<killers::Types>()
        } else if has_company {
            worker
                .only::<company::AllTypes>()
                .queue("flow", OF_FLOW)
                .queue("company", OF_COMPANY)
                .keys(company::KEYS.parse()?)
                .hook(Witness(history.clone()))
        } else if has_flow {
            worker
                .only::<(Once, OnceLazily, Repeatable, Single, Tenanted, Ticked)>()
                .queue("flow", OF_FLOW)
        } else {
            worker.only::<(Once, OnceLazily, Repeatable)>()
        };
        Ok::<_, Box<dyn Error>>(
            worker
                .lease(milliseconds("LEASE_MS")?.unwrap_or(Duration::from_secs(2)))
                .poll_interval(milliseconds("POLL_MS")?.unwrap_or(Duration::from_secs(1)))
                .grace_period(milliseconds("GRACE_MS")?.unwrap_or_default())
                .keep_completed(setting("KEEP")?.unwrap_or_default())
                .listen(listens),
        )
    };
    // The database may be away just now.
    let worker = loop {
        match worker()?.build().await {
            Ok(worker) => break worker,
            Err(taskq::WorkerError::Database(error)) => {
                tracing::warn!(%error, "not started yet");
                sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    worker.run_until(taskq::shutdown_signal()).await?;
    Ok(())
}

fn setting<T: FromStr>(name: &str) -> Result<Option<T>, T::Err> {
    env::var(name).ok().map(|text| text.parse()).transpose()
}

/// Records when this process did not run, which excuses what it then does too late.
async fn watch(history: Arc<Recorder>) {
    let mut last = now();
    loop {
        sleep(TICK).await;
        let ran = now();
        if ran - last > TICK + GAP {
            history.record(Event::Stalled { since: last });
        }
        last = ran;
    }
}

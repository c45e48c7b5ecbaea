//! apalis-postgres.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage, queries};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::{Ballast, Client, Each, Family, Handler, Point, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::{Database, pool_of};

const QUEUE: &str = "bench";

/// What its documentation sets.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    workers: usize,
    batch: usize,
    /// Beside the listener, so that what was enqueued while a batch ran is seen.
    poll_ms: u64,
    pool: u32,
}

#[derive(Debug)]
pub struct Apalis {
    settings: Each<Settings>,
}

impl Apalis {
    pub const BEST: Self = Self {
        settings: Each {
            nothing: Settings::of(12),
            waits: Settings::of(12),
            inserts: Settings::of(37),
        },
    };

    /// Returns the settings of a normal run, and each of them changed alone.
    pub fn grid(handler: Handler) -> Vec<Point> {
        let best = Self::BEST.settings.of(handler);
        let mut grid = vec![best];
        grid.extend([1, 2, 4, 8].map(|workers| Settings { workers, ..best }));
        grid.extend([100, 500, 1_000, 2_000].map(|batch| Settings { batch, ..best }));
        grid.extend([10, 50, 200].map(|poll_ms| Settings { poll_ms, ..best }));
        grid.extend([12, 20, 37].map(|pool| Settings { pool, ..best }));
        super::points(grid, |settings| Self {
            settings: Each::same(settings),
        })
    }
}

impl Settings {
    const fn of(pool: u32) -> Self {
        Self {
            workers: 4,
            batch: 2_000,
            poll_ms: 50,
            pool,
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} workers, batches of {}, poll {} ms, pool of {}",
            self.workers, self.batch, self.poll_ms, self.pool
        )
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    n: u64,
}

/// What a handler needs.
#[derive(Clone)]
struct State {
    handler: Handler,
    meter: Arc<Meter>,
    pool: PgPool,
}

async fn handle(payload: Payload, state: Data<State>) -> Result<(), BoxDynError> {
    match state.handler {
        Handler::Nothing => {}
        Handler::Waits => sleep(Duration::from_millis(1)).await,
        Handler::Inserts => {
            sqlx::query("insert into effect (n) values ($1)")
                .bind(payload.n.cast_signed())
                .execute(&state.pool)
                .await?;
        }
    }
    state.meter.ran(payload.n);
    Ok(())
}

#[async_trait]
impl System for Apalis {
    fn name(&self) -> &'static str {
        "apalis-postgres"
    }

    fn family(&self) -> Family {
        Family::Peer
    }

    fn settings(&self) -> String {
        let Each {
            nothing,
            waits,
            inserts,
        } = self.settings;
        format!(
            "1.0: {nothing}; results persisted, tasks not locked a second time, woken by its \
             listener too; a handler that waits: {waits}; one that inserts does so in a transaction \
             of its own: {inserts}"
        )
    }

    fn absent_from(&self, _mode: &Mode) -> Option<&'static str> {
        None
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        Ok(PostgresStorage::<()>::setup(&db.pool).await?)
    }

    fn preload(&self, _handler: Handler, numbers: Range<u64>) -> String {
        insert(QUEUE, "now() - interval '1 second'", "Pending", numbers)
    }

    fn ballast(&self, ballast: Ballast, rows: u64) -> Option<String> {
        let (queue, run_at, status, place) = match ballast {
            Ballast::Unknown => ("unknown", "now() - interval '1 hour'", "Pending", 1),
            Ballast::Future => (QUEUE, "now() + interval '30 days'", "Pending", 2),
            Ballast::Finished => (QUEUE, "now() - interval '1 hour'", "Done", 3),
        };
        // Ids are made of numbers: other ones than those of the tasks.
        let first = place << 40;
        Some(insert(queue, run_at, status, first..first + rows))
    }

    async fn client(&self, db: &Database) -> Result<Box<dyn Client>> {
        let connection = PgConnection::connect(&db.url).await?;
        Ok(Box::new(ApalisClient(connection)))
    }

    async fn worker(
        &self,
        url: &str,
        handler: Handler,
        meter: Arc<Meter>,
    ) -> Result<Box<dyn Worker>> {
        let settings = self.settings.of(handler);
        let pool = pool_of(url, settings.pool).await?;
        Ok(Box::new(ApalisWorkers {
            settings,
            state: State {
                handler,
                meter,
                pool,
            },
            contexts: Vec::new(),
            running: JoinSet::new(),
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        db.is("select exists (select from apalis.jobs where status in ('Queued', 'Running'))")
            .await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        db.count(
            "select count(*) from apalis.jobs
             where job_type = 'bench' and status <> 'Done' and run_at < now() + interval '1 day'",
        )
        .await
    }
}

fn insert(queue: &str, run_at: &str, status: &str, numbers: Range<u64>) -> String {
    let (first, end) = (numbers.start, numbers.end);
    format!(
        "insert into apalis.jobs
             (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata)
         select lpad(n::text, 26, '0'), '{queue}',
                convert_to(jsonb_build_object('n', n)::text, 'UTF8'), '{status}', 0, 25,
                {run_at}, 0, ''
         from generate_series({first}::bigint, {end}::bigint - 1) as n"
    )
}

struct ApalisClient(PgConnection);

#[async_trait]
impl Client for ApalisClient {
    async fn enqueue(&mut self, number: u64) -> Result<()> {
        self.enqueue_many(number..number + 1).await
    }

    async fn enqueue_many(&mut self, numbers: Range<u64>) -> Result<()> {
        let mut tasks = Vec::new();
        for n in numbers {
            tasks.push(TaskBuilder::new(serde_json::to_vec(&Payload { n })?).build());
        }
        queries::push_tasks(&mut self.0, QUEUE, tasks).await?;
        Ok(())
    }
}

struct ApalisWorkers {
    settings: Settings,
    state: State,
    contexts: Vec<WorkerContext>,
    running: JoinSet<Result<(), String>>,
}

#[async_trait]
impl Worker for ApalisWorkers {
    async fn run(&mut self) -> Result<()> {
        let config = Config::default()
            .queue(QUEUE)
            .batch_size(self.settings.batch)
            .persist_results(true)
            .lock_tasks(false);
        for _ in 0..self.settings.workers {
            let backend = PostgresStorage::<Payload>::new(&self.state.pool)
                .with_config(config.clone())
                .with_pubsub()
                .poll_with_interval(Duration::from_millis(self.settings.poll_ms));
            let context = WorkerContext::new(&Uuid::new_v4().to_string());
            let worker = WorkerBuilder::new(&context)
                .backend(backend)
                .data(self.state.clone())
                .build(handle);
            self.contexts.push(context);
            self.running
                .spawn(async move { worker.run().await.map_err(|error| error.to_string()) });
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        for context in &self.contexts {
            context.stop()?;
        }
        while let Some(ended) = self.running.join_next().await {
            ended?.map_err(|error| anyhow!(error))?;
        }
        self.state.pool.close().await;
        Ok(())
    }
}

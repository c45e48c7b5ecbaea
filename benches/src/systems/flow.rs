//! taskq with tasks that have limits, fail, or start in another order.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use async_trait::async_trait;
use taskq::Payload;
use taskq::handler::TaskSet;
use tokio::time::sleep;

use super::taskq::TaskqWorker;
use super::{Ballast, Client, Family, Handler, System, Worker};
use crate::meter::Meter;
use crate::modes::Mode;
use crate::server::{Database, pool_of};

/// Tenants whose tasks share limits.
pub const TENANTS: u64 = 50;

/// What runs at once of each tenant, where that binds.
pub const OF_TENANT: u64 = 5;

/// How long those handlers take.
pub const WORK: Duration = Duration::from_millis(50);

/// How many handlers run at once: those of all tenants fit, where their limits bind.
const CONCURRENCY: usize = 300;

/// And where the cost of claims is looked at, so that each takes few.
const FEW: usize = 8;

#[taskq::task]
async fn unlimited(meter: &Meter, n: u64, tenant: u64) {
    let _ = tenant;
    meter.ran(n);
}

#[taskq::task(concurrency = 1_000_000)]
async fn limited_in_vain(meter: &Meter, n: u64, tenant: u64) {
    let _ = tenant;
    meter.ran(n);
}

#[taskq::task(concurrency(1_000_000, key = tenant))]
async fn limited_by_key_in_vain(meter: &Meter, n: u64, tenant: u64) {
    let _ = tenant;
    meter.ran(n);
}

#[taskq::task(concurrency(5, key = tenant))]
async fn limited(meter: &Meter, n: u64, tenant: u64) {
    let _ = tenant;
    sleep(WORK).await;
    meter.ran(n);
}

/// One of each tenant runs, longer than anything that is measured, and holds the others back.
#[taskq::task(concurrency(1, key = tenant), timeout = "2h")]
async fn held_back(n: u64, tenant: u64) {
    let _ = (n, tenant);
    sleep(Duration::from_secs(3_600)).await;
}

#[taskq::task]
async fn fails(n: u64, tenant: u64) -> Result<(), &'static str> {
    let _ = (n, tenant);
    Err("always")
}

#[taskq::task(fair = tenant)]
async fn fair(meter: &Meter, n: u64, tenant: u64) {
    let _ = tenant;
    meter.ran(n);
}

#[taskq::task(order = "random")]
async fn unlimited_at_random(meter: &Meter, n: u64, tenant: u64) {
    let _ = tenant;
    meter.ran(n);
}

#[taskq::task(order = "random")]
async fn fails_at_random(n: u64, tenant: u64) -> Result<(), &'static str> {
    let _ = (n, tenant);
    Err("always")
}

#[taskq::task(order = "random")]
async fn waits_at_random(meter: &Meter, n: u64, tenant: u64) {
    let _ = tenant;
    sleep(Duration::from_millis(1)).await;
    meter.ran(n);
}

/// What the tasks of a drain are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// As all others, in a program that also has a type with limits.
    Plain,
    /// A limit of their type never binds.
    InVain,
    /// A limit of each tenant never binds.
    ByKeyInVain,
    /// A limit of each tenant binds.
    ByKey,
    /// They are held back by their limits.
    HeldBack,
    /// They are all of one tenant, whose turn it always is.
    FairAlone,
    /// Each is of another tenant.
    FairAmongMany,
    /// They start in a random order.
    Random,
    /// The same, and their handlers wait a millisecond; few at once.
    RandomWaits,
}

impl Flow {
    /// Returns a statement that adds waiting tasks of these numbers, of which every second one fails.
    pub fn preload_failing(self, numbers: Range<u64>) -> String {
        let fails = match self {
            Self::Random => FailsAtRandom::TASK_TYPE,
            _ => Fails::TASK_TYPE,
        };
        let succeeds = self.task_type();
        let (first, end) = (numbers.start, numbers.end);
        format!(
            "insert into taskq.task (task_type, payload)
             select
                 case fails when 0 then '{succeeds}' else '{fails}' end,
                 jsonb_build_object('n', n, 'tenant', n % {TENANTS})
             from generate_series({first}::bigint, {end}::bigint - 1) as n
             cross join generate_series(0, 1) as fails"
        )
    }

    fn task_type(self) -> &'static str {
        match self {
            Self::Plain => Unlimited::TASK_TYPE,
            Self::InVain => LimitedInVain::TASK_TYPE,
            Self::ByKeyInVain => LimitedByKeyInVain::TASK_TYPE,
            Self::ByKey => Limited::TASK_TYPE,
            Self::HeldBack => HeldBack::TASK_TYPE,
            Self::FairAlone | Self::FairAmongMany => Fair::TASK_TYPE,
            Self::Random => UnlimitedAtRandom::TASK_TYPE,
            Self::RandomWaits => WaitsAtRandom::TASK_TYPE,
        }
    }

    fn has_key(self) -> bool {
        matches!(
            self,
            Self::ByKeyInVain
                | Self::ByKey
                | Self::HeldBack
                | Self::FairAlone
                | Self::FairAmongMany
        )
    }

    /// Says in SQL of which tenant the task of a number is.
    fn tenant(self) -> String {
        match self {
            Self::FairAlone => "0".to_owned(),
            Self::FairAmongMany => "n".to_owned(),
            _ => format!("n % {TENANTS}"),
        }
    }
}

async fn worker<S: TaskSet>(
    url: &str,
    meter: Arc<Meter>,
    concurrency: usize,
) -> Result<TaskqWorker> {
    let pool = pool_of(url, 10).await?;
    let builder = taskq::Worker::builder(pool.clone())
        .state_arc(meter)
        .only::<S>()
        .queue("default", concurrency);
    Ok(TaskqWorker::new(pool, builder.build().await?))
}

/// Makes a worker whose handlers are not waited for when it stops.
async fn holder(url: &str) -> Result<TaskqWorker> {
    let pool = pool_of(url, 10).await?;
    let builder = taskq::Worker::builder(pool.clone())
        .only::<(HeldBack,)>()
        .grace_period(Duration::ZERO)
        .queue("default", CONCURRENCY);
    Ok(TaskqWorker::new(pool, builder.build().await?))
}

#[async_trait]
impl System for Flow {
    fn name(&self) -> &'static str {
        "taskq"
    }

    fn family(&self) -> Family {
        Family::Taskq
    }

    fn settings(&self) -> String {
        format!("queue(\"default\", {CONCURRENCY}), pool of 10")
    }

    fn absent_from(&self, _: &Mode) -> Option<&'static str> {
        None
    }

    async fn set_up(&self, db: &Database) -> Result<()> {
        taskq::migrate(&db.pool).await?;
        if self.has_key() || *self == Self::InVain {
            // It declares the limits, so that the tasks have keys from the first on.
            self.worker(&db.url, Handler::Nothing, Arc::new(Meter::counting(0)))
                .await?
                .stop()
                .await?;
            // As half a minute later.
            db.execute(
                "update taskq.limit_rule
                 set since = since - interval '1 minute', is_settled = true",
            )
            .await?;
        }
        Ok(())
    }

    fn preload(&self, _: Handler, numbers: Range<u64>) -> String {
        let task_type = self.task_type();
        let (first, end, tenant) = (numbers.start, numbers.end, self.tenant());
        // Filling leaves the triggers out, and so the one that gives a key.
        let (column, key) = match self.has_key() {
            true => (
                ", key",
                format!(", jsonb_build_object('tenant', {tenant})::text"),
            ),
            false => ("", String::new()),
        };
        format!(
            "insert into taskq.task (task_type, payload{column})
             select '{task_type}', jsonb_build_object('n', n, 'tenant', {tenant}){key}
             from generate_series({first}::bigint, {end}::bigint - 1) as n"
        )
    }

    fn ballast(&self, _: Ballast, _: u64) -> Option<String> {
        None
    }

    async fn client(&self, _: &Database) -> Result<Box<dyn Client>> {
        bail!("these tasks are not enqueued one by one")
    }

    async fn worker(&self, url: &str, _: Handler, meter: Arc<Meter>) -> Result<Box<dyn Worker>> {
        Ok(Box::new(match self {
            Self::Plain => worker::<(Unlimited, Fails, HeldBack)>(url, meter, CONCURRENCY).await?,
            Self::InVain => worker::<(LimitedInVain,)>(url, meter, CONCURRENCY).await?,
            Self::ByKeyInVain => worker::<(LimitedByKeyInVain,)>(url, meter, CONCURRENCY).await?,
            Self::ByKey => worker::<(Limited,)>(url, meter, CONCURRENCY).await?,
            Self::HeldBack => holder(url).await?,
            Self::FairAlone | Self::FairAmongMany => {
                worker::<(Fair,)>(url, meter, CONCURRENCY).await?
            }
            Self::Random => {
                worker::<(UnlimitedAtRandom, FailsAtRandom)>(url, meter, CONCURRENCY).await?
            }
            Self::RandomWaits => worker::<(WaitsAtRandom,)>(url, meter, FEW).await?,
        }))
    }

    async fn is_completing(&self, db: &Database) -> Result<bool> {
        db.is("select exists (
                 select
                 from taskq.lease
                 where not task_types <@ '{held_back, fails, fails_at_random}'::text[]
             )")
            .await
    }

    async fn left(&self, db: &Database) -> Result<u64> {
        db.count(
            "select count(*)
             from taskq.tasks
             where task_type not in ('held_back', 'fails', 'fails_at_random')",
        )
        .await
    }
}

//! Tasks with keys, limits and ticks: enqueuing them, and looking at what the tables say of them.

use std::collections::{BTreeMap, HashSet};

use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use taskq::EnqueueOutcome;
use taskq::error::BoxError;
use taskq_tests::checker::{Rate, Ticks, beyond, too_fast};
use taskq_tests::history::{Batch, Event, Plan, Process, Scope};
use taskq_tests::tasks::{OF_TENANT, Single, TENANT_RATE, Tenanted};

use super::enqueue::{Finale, Said};
use super::{LEASE, ONCE, REPEATABLE, Stage};

/// So many tenants have tasks. That of a task tells its number.
const TENANTS: i64 = 5;

/// The schedules, by the seconds between two ticks.
const SCHEDULES: [(&str, i64, &str); 2] =
    [("each", 1, "* * * * * *"), ("other", 2, "*/2 * * * * *")];

impl Stage {
    /// Enqueues tasks of all tenants, which have limits.
    pub(crate) async fn enqueue_tenanted(
        &self,
        db: &mut PgConnection,
        failures: u16,
        count: i64,
        takes_ms: u64,
    ) -> Result<(), BoxError> {
        let plan = Plan {
            failures,
            ..REPEATABLE
        };
        let insert = async |tx: &mut PgConnection, batch: Batch| {
            let tasks = batch.numbers().map(|n| Tenanted {
                n,
                failures,
                takes_ms,
                tenant: n % TENANTS,
            });
            taskq::enqueue_many(tx, tasks).await?;
            Ok(Said::Created)
        };
        self.in_transaction(db, plan, count, Finale::Commit, insert)
            .await
    }

    /// Enqueues a task that has a key, unless another has it, and records what the enqueue said and what was true.
    pub(crate) async fn enqueue_single(
        &self,
        db: &mut PgConnection,
        key: i64,
        failures: u16,
        takes_ms: u64,
    ) -> Result<(), BoxError> {
        let plan = Plan { failures, ..ONCE };
        let insert = async |tx: &mut PgConnection, batch: Batch| {
            let over: Vec<i64> = query_scalar("select task_id from over where key = $1")
                .bind(key)
                .fetch_all(&mut *tx)
                .await?;
            let n = batch.first;
            let single = Single {
                n,
                failures,
                takes_ms,
                key,
            };
            let task = taskq::enqueue(&mut *tx, single).await?;
            if task.outcome == EnqueueOutcome::Created {
                // The key is locked until this transaction ends.
                let others: i64 = query_scalar(
                    "select count(*) from taskq.tasks
                     where task_type = 'single'
                       and state in ('waiting', 'running')
                       and payload -> 'key' = to_jsonb($1)
                       and task_id <> $2",
                )
                .bind(key)
                .bind(task.task_id)
                .fetch_one(tx)
                .await?;
                self.history.record(Event::KeyTaken { n, key, others });
                return Ok(Said::Created);
            }
            let is_there: bool = query_scalar("select taskq.where_is($1) is not null")
                .bind(task.task_id)
                .fetch_one(tx)
                .await?;
            self.history.record(Event::KeyHeld {
                key,
                task_id: task.task_id,
                is_over: over.contains(&task.task_id) && !is_there,
            });
            Ok(Said::Existing)
        };
        self.in_transaction(db, plan, 1, Finale::Commit, insert)
            .await
    }

    /// Has the keys of these types take turns: how long their tasks take.
    pub(crate) async fn take_turns(&self, task_types: &[&str]) {
        let fair = query(
            "insert into taskq.limit_rule (scope, name, kind, fields, declared_most)
             select 'key', name, 'fair', '{takes_ms}', 1
             from unnest($1::text[]) as name",
        );
        let fair = fair.bind(task_types).execute(&self.pool).await;
        fair.expect("they take turns");
    }

    /// Has schedules tick that catch up all that they miss.
    pub(crate) async fn schedule(&self) {
        for (name, _, expression) in SCHEDULES {
            let upsert = query(
                r#"select taskq.upsert_schedule($1, $2, 'ticked', options => '{"catch_up": "all", "queue": "flow"}')"#,
            );
            let upsert = upsert.bind(name).bind(expression);
            upsert.execute(&self.pool).await.expect("made");
        }
    }

    /// Has no schedule tick any more. A tick that is being taken is over then.
    pub(crate) async fn end_schedules(&self) {
        for (name, ..) in SCHEDULES {
            let pause = query("select taskq.pause_schedule($1)").bind(name);
            pause.execute(&self.pool).await.expect("paused");
        }
    }

    /// Pauses something, and records it once that is committed.
    pub(crate) async fn pause(&self, scope: &Scope) -> sqlx::Result<()> {
        let (pause, name) = match scope {
            Scope::Queue(name) => ("select taskq.pause_queue($1, 'a test')", name),
            Scope::TaskType(name) => ("select taskq.pause_task_type($1, 'a test')", name),
        };
        query(pause).bind(name).execute(&self.pool).await?;
        self.history.record(Event::Paused(scope.clone()));
        self.trouble("something is paused");
        Ok(())
    }

    /// Ends the pause of something.
    pub(crate) async fn resume(&self, scope: &Scope) -> sqlx::Result<()> {
        let (resume, name) = match scope {
            Scope::Queue(name) => ("select taskq.resume_queue($1)", name),
            Scope::TaskType(name) => ("select taskq.resume_task_type($1)", name),
        };
        self.history.record(Event::Resuming(scope.clone()));
        query(resume).bind(name).execute(&self.pool).await.map(drop)
    }

    /// Says where the places that tenants use, as claims count them, are not those of their tasks that leases list, or more
    /// than there are.
    pub(crate) async fn wrong_places(&self) -> sqlx::Result<Vec<String>> {
        let wrong: Vec<(Option<String>, i64, i64)> = query_as(
            "with used as (
                 select
                     limited_key as key,
                     sum(cardinality(task_ids) - cardinality(done))::bigint as number
                 from taskq.lease
                 where limited_type = 'tenanted'
                 group by limited_key
             ),
             listed as (
                 select taskq.limit_key(task.payload, '{tenant}') as key, count(*) as number
                 from taskq.lease
                 cross join lateral taskq.left_in(lease) as task
                 where task.task_type = 'tenanted'
                 group by 1
             )
             select key, coalesce(used.number, 0), coalesce(listed.number, 0)
             from used
             full join listed using (key)
             where used.number is distinct from listed.number
                or listed.number > $1",
        )
        .bind(i64::try_from(OF_TENANT).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await?;
        let wrong = wrong.into_iter();
        Ok(wrong
            .map(|(key, used, listed)| {
                format!("key {key:?} uses {used} places, and leases list {listed} of its tasks")
            })
            .collect())
    }
}

/// Says which tenants had more attempts at once, or more starts in a time, than their limits allow.
pub(super) fn beyond_limits(processes: &[Process]) -> Vec<String> {
    let mut limited = HashSet::new();
    for entry in processes.iter().flatten() {
        if let Event::Started { n, task_type, .. } = &entry.event
            && task_type == "tenanted"
        {
            limited.insert(*n);
        }
    }
    let tenant = |n: i64| limited.contains(&n).then_some(n % TENANTS);
    let margin = LEASE / 12;
    let (per_second, burst) = TENANT_RATE;
    let rate = Rate {
        per_second,
        burst,
        lateness: LEASE + margin,
    };
    let at_once = beyond(processes, margin, OF_TENANT, tenant).into_iter();
    let at_once = at_once.map(|(tenant, most)| format!("of tenant {tenant} {most} ran at once"));
    let fast = too_fast(processes, margin, rate, tenant).into_iter();
    let fast = fast.map(|(tenant, more)| format!("of tenant {tenant} {more:.1} started too early"));
    at_once.chain(fast).collect()
}

/// Reads the ticks of all schedules.
pub(super) async fn ticks(pool: &PgPool) -> BTreeMap<String, Ticks> {
    let mut found = BTreeMap::new();
    for (name, period, _) in SCHEDULES {
        // Of those that did not run, the task says it.
        let taken: Vec<i64> = query_scalar(
            "select extract(epoch from at)::bigint from tick where schedule = $1
             union all
             select extract(epoch from (metadata -> 'schedule.tick' ->> 'at')::timestamptz)::bigint
             from taskq.tasks
             where metadata -> 'schedule.tick' ->> 'schedule' = $1
               and state <> 'completed'",
        )
        .bind(name)
        .fetch_all(pool)
        .await
        .expect("ticks");
        let last: Option<Option<i64>> = query_scalar(
            "select extract(epoch from last_tick)::bigint from taskq.schedule where name = $1",
        )
        .bind(name)
        .fetch_optional(pool)
        .await
        .expect("a schedule");
        if let Some(last) = last {
            let ticks = Ticks {
                period,
                taken,
                last,
            };
            found.insert(name.to_owned(), ticks);
        }
    }
    found
}

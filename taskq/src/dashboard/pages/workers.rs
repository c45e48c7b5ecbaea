//! Workers: where they are, what they hold, what they know.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::pages::act::done;
use crate::dashboard::text::{When, age, counted, link, number, span, when};
use crate::operate::filter::Filter;
use crate::operate::stats::KindStats;
use crate::operate::workers::{Stuck, WorkerStatus};

/// How many names a line shows at first.
const NAMES: usize = 6;

pub(super) struct WorkerLine {
    id: String,
    host: String,
    process_id: i32,
    release: String,
    queues: String,
    types: String,
    /// Those that have no room in the line.
    more_types: Vec<String>,
    slots: Option<String>,
    slots_number: i32,
    running: String,
    running_number: i64,
    leases: String,
    oldest: Option<When>,
    /// Its attempts that run for far longer than is usual for their types.
    stuck: Vec<StuckLine>,
    started: When,
    seen: When,
    stop_asked: Option<When>,
    is_alive: bool,
}

/// An attempt that is perhaps stuck.
pub(super) struct StuckLine {
    id: i64,
    link: String,
    task_type: String,
    age: String,
    usual: Option<String>,
    doing: Option<String>,
}

impl StuckLine {
    fn of(stuck: &Stuck, now: DateTime<Utc>) -> Self {
        let usual = stuck.usual_seconds.map(|usual| {
            let usual = Duration::try_from_secs_f64(usual).unwrap_or_default();
            span(usual)
        });
        Self {
            id: stuck.task_id,
            link: link("task", &[("id", &stuck.task_id.to_string())]),
            task_type: stuck.task_type.clone(),
            age: age(stuck.claimed_at, now),
            usual,
            doing: stuck.doing.clone(),
        }
    }
}

/// A kind of tasks that waits and that no living worker runs.
struct Unserved {
    name: String,
    queue: String,
    waiting: String,
    link: String,
}

impl Unserved {
    fn of(kind: &KindStats) -> Self {
        let filter = Filter::of_names(Some(&kind.queue), Some(&kind.task_type));
        Self {
            name: kind.task_type.clone(),
            queue: kind.queue.clone(),
            waiting: counted(kind.due.max(kind.scheduled), kind.counted_to),
            link: link("tasks", &[("q", &format!("state:waiting {filter}"))]),
        }
    }
}

impl WorkerLine {
    fn of(worker: &WorkerStatus, stuck: &[Stuck], now: DateTime<Utc>) -> Self {
        let stuck = stuck
            .iter()
            .filter(|it| it.worker_id == worker.worker_id.to_string());
        let shown = worker.task_types.len().min(NAMES);
        let (types, more) = worker.task_types.split_at(shown);
        Self {
            id: worker.worker_id.to_string(),
            host: worker.host.clone(),
            process_id: worker.process_id,
            release: worker.release.clone().unwrap_or_default(),
            queues: worker.queues.join(", "),
            types: types.join(", "),
            more_types: more.to_vec(),
            slots: worker.slots.map(number),
            slots_number: worker.slots.unwrap_or_default(),
            running: number(worker.running),
            running_number: worker.running,
            leases: number(worker.leases),
            stuck: stuck.map(|it| StuckLine::of(it, now)).collect(),
            oldest: worker.oldest_claimed_at.map(|at| when(at, now)),
            started: when(worker.started_at, now),
            seen: when(worker.seen_at, now),
            stop_asked: worker.stop_asked_at.map(|at| when(at, now)),
            is_alive: worker.is_alive,
        }
    }
}

/// A task type, and which releases know it.
struct Known {
    name: String,
    /// In the order of the releases.
    known: Vec<bool>,
}

#[derive(Template)]
#[template(path = "dashboard/workers.html")]
struct Workers {
    frame: Frame,
    alive: usize,
    workers: Vec<WorkerLine>,
    unserved: Vec<Unserved>,
    /// The releases of living workers, if there are several: side by side.
    releases: Vec<String>,
    known: Vec<Known>,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let now = reader.now().await?;
    let workers = reader.workers().await?;
    let stuck = reader.stuck().await?;
    let kinds = reader.stats().await?.kinds;
    let waits = |kind: &&KindStats| !kind.is_served && kind.due + kind.scheduled > 0;
    let (releases, known) = side_by_side(&workers);
    page(&Workers {
        alive: workers.iter().filter(|worker| worker.is_alive).count(),
        workers: workers
            .iter()
            .map(|worker| WorkerLine::of(worker, &stuck, now))
            .collect(),
        unserved: kinds.iter().filter(waits).map(Unserved::of).collect(),
        releases,
        known,
        frame: Frame::new(&asked, "Workers", Some(now)).live(&asked),
    })
}

/// Returns the types that not all releases know.
fn side_by_side(workers: &[WorkerStatus]) -> (Vec<String>, Vec<Known>) {
    let alive: Vec<&WorkerStatus> = workers.iter().filter(|it| it.is_alive).collect();
    let name = |worker: &WorkerStatus| {
        worker
            .release
            .clone()
            .unwrap_or_else(|| "no release".to_owned())
    };
    let mut releases: Vec<String> = alive.iter().map(|worker| name(worker)).collect();
    releases.sort_unstable();
    releases.dedup();
    let mut types: Vec<&String> = alive.iter().flat_map(|worker| &worker.task_types).collect();
    types.sort_unstable();
    types.dedup();
    let knows = |release: &String, task_type: &String| {
        let mut of_release = alive.iter().filter(|worker| name(worker) == *release);
        of_release.any(|worker| worker.task_types.contains(task_type))
    };
    let known = types.into_iter().map(|task_type| Known {
        known: releases
            .iter()
            .map(|release| knows(release, task_type))
            .collect(),
        name: task_type.clone(),
    });
    let known = known.filter(|it| it.known.contains(&false)).collect();
    (releases, known)
}

/// Asks a worker to stop.
pub(in crate::dashboard) async fn stop(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let stopping = operator.stop_worker(id(&asked)?);
    stopping.because_if(asked.reason()).await?;
    done(&asked, "workers", "stopping")
}

/// Forgets a worker that vanished.
pub(in crate::dashboard) async fn forget(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let forgetting = operator.forget_worker(id(&asked)?);
    forgetting.because_if(asked.reason()).await?;
    done(&asked, "workers", "forgotten")
}

fn id(asked: &Asked) -> Result<Uuid, Failure> {
    let id = asked.said.required("id")?;
    let no_id = |_| Failure::Senseless(format!("`{id}` is no worker's id"));
    id.parse().map_err(no_id)
}

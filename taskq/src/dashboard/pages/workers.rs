//! Workers: where they are, what they hold, what they know.

use askama::Template;
use chrono::{DateTime, Utc};

use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::pages::act::done;
use crate::dashboard::text::{When, number, when};
use crate::operate::workers::WorkerStatus;

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
    oldest: Option<When>,
    started: When,
    seen: When,
    stop_asked: Option<When>,
    is_alive: bool,
}

impl WorkerLine {
    fn of(worker: &WorkerStatus, now: DateTime<Utc>) -> Self {
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
    /// The releases of living workers, if there are several: side by side.
    releases: Vec<String>,
    known: Vec<Known>,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let now = reader.now().await?;
    let workers = reader.workers().await?;
    let (releases, known) = side_by_side(&workers);
    page(&Workers {
        alive: workers.iter().filter(|worker| worker.is_alive).count(),
        workers: workers
            .iter()
            .map(|worker| WorkerLine::of(worker, now))
            .collect(),
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
    let id = asked.said.required("id")?;
    let id = id
        .parse()
        .map_err(|_| Failure::Senseless(format!("`{id}` is no worker's id")))?;
    let stopping = operator.stop_worker(id);
    match asked.reason() {
        Some(reason) => stopping.because(reason).await?,
        None => stopping.await?,
    };
    done(&asked, "workers", "stopping")
}

//! `workers` and `stop-worker`: which workers there are, and having one of them stop.

use clap::{Arg, ArgMatches, Command};
use uuid::Uuid;

use super::said::{json, operator, reason, seconds, speaking, who_and_why};
use super::table::{self, Table};
use crate::error::BoxError;
use crate::operate::pause::Operator;
use crate::operate::workers::{Stuck, WorkerStatus};
use crate::worker::WorkerBuilder;

/// So much of an id is shown, and enough to name a worker by it.
const SHOWN: usize = 8;

pub(crate) fn workers() -> Command {
    Command::new("workers")
        .about("Lists the workers: where they are, what they run, and when they were last heard of")
        .arg(json())
}

pub(crate) fn stop_worker() -> Command {
    let command = Command::new("stop-worker")
        .about("Asks a worker to stop as SIGTERM does: it hands back what does not end in time");
    who_and_why(command.arg(id()))
}

pub(crate) fn forget_worker() -> Command {
    let command = Command::new("forget-worker").about(
        "Forgets a worker that vanished, once you know why; an hour later it is forgotten anyway",
    );
    who_and_why(command.arg(id()))
}

fn id() -> Arg {
    Arg::new("id")
        .value_name("WORKER")
        .required(true)
        .help("The id of the worker, or how it begins, as `workers` shows it")
}

pub(crate) async fn execute_workers(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let operator = operator(builder);
    let workers = operator.workers().await?;
    let stuck = operator.stuck().await?;
    table::print(matches, &workers, "there is no worker", |workers| {
        list(workers, &stuck)
    })
}

fn list(workers: &[WorkerStatus], stuck: &[Stuck]) -> Table {
    let head = &[
        "WORKER", "STATE", "RUNS", "SEEN", "PROCESS", "RELEASE", "HOST",
    ];
    let mut table = Table::new(head).right(2).right(4);
    for worker in workers {
        let state = match (worker.is_alive, worker.stop_asked_at) {
            (true, None) => "alive",
            (true, Some(_)) => "stopping",
            (false, _) => "vanished",
        };
        let slots = worker.slots.map(|slots| format!("/{slots}"));
        table.row([
            start_of(worker),
            state.to_owned(),
            format!("{}{}", worker.running, slots.unwrap_or_default()),
            seconds(&worker.seen_at),
            worker.process_id.to_string(),
            worker.release.clone().unwrap_or_else(|| "-".to_owned()),
            worker.host.clone(),
        ]);
        let number = worker.task_types.len();
        table.below(&format!(
            "{}: {number} task types",
            worker.queues.join(", ")
        ));
        if let Some(at) = &worker.stop_asked_at {
            table.below(&format!("asked to stop at {}", seconds(at)));
        }
        if let Some(at) = &worker.oldest_claimed_at {
            table.below(&format!(
                "has claimed the oldest of its tasks at {}",
                seconds(at)
            ));
        }
        for it in stuck
            .iter()
            .filter(|it| it.worker_id == worker.worker_id.to_string())
        {
            table.below(&format!(
                "perhaps stuck: task {} of type {}, claimed at {}{}",
                it.task_id,
                it.task_type,
                seconds(&it.claimed_at),
                it.usual_seconds.map_or_else(String::new, |usual| {
                    format!("; 99 of 100 of its type take less than {} s", usual.ceil())
                })
            ));
            if let Some(doing) = &it.doing {
                table.below(doing);
            }
        }
    }
    table
}

fn start_of(worker: &WorkerStatus) -> String {
    let mut id = worker.worker_id.to_string();
    id.truncate(SHOWN);
    id
}

pub(crate) async fn execute_stop_worker(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let operator = speaking(builder, matches);
    let worker_id = said(&operator, matches).await?;
    let stopping = operator.stop_worker(worker_id);
    let since = stopping.because_if(reason(matches)).await?;
    println!(
        "worker {worker_id} is asked to stop since {}",
        seconds(&since)
    );
    Ok(())
}

pub(crate) async fn execute_forget_worker(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let operator = speaking(builder, matches);
    let worker_id = said(&operator, matches).await?;
    let forgetting = operator.forget_worker(worker_id);
    match forgetting.because_if(reason(matches)).await? {
        true => println!("worker {worker_id} is forgotten"),
        false => println!("there is no worker {worker_id}"),
    }
    Ok(())
}

/// Returns the worker that was said.
async fn said(operator: &Operator, matches: &ArgMatches) -> Result<Uuid, BoxError> {
    let said: &String = matches.get_one("id").ok_or("clap asks for it")?;
    match said.parse::<Uuid>() {
        Ok(id) => Ok(id),
        Err(_) => named(said, &operator.workers().await?),
    }
}

/// Returns the one worker whose id begins so.
fn named(said: &str, workers: &[WorkerStatus]) -> Result<Uuid, BoxError> {
    let begins = |worker: &&WorkerStatus| {
        let id = worker.worker_id.to_string();
        !said.is_empty() && id.starts_with(&said.to_lowercase())
    };
    let mut those = workers.iter().filter(begins);
    match (those.next(), those.next()) {
        (Some(worker), None) => Ok(worker.worker_id),
        (Some(_), Some(_)) => {
            Err(format!("the ids of several workers begin with {said}: write more of it").into())
        }
        (None, _) => {
            Err(format!("no worker has an id that begins with {said}: see `workers`").into())
        }
    }
}

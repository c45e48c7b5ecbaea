//! The list of commands, and which file does what each says.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::face::Face;
#[cfg(feature = "cron")]
use super::schedules;
use super::{
    act, audit, bench, bulk, by_hand, causes, change, check, completions, doctor, groups, keep,
    limits, list, mend, migrate, pause, prune, run, sequences, show, stats, tasks, weights,
    workers,
};
use crate::error::BoxError;
use crate::worker::WorkerBuilder;

pub(super) fn commands(face: Face) -> Command {
    let mut command = Command::new(env!("CARGO_PKG_NAME"))
        .about("A worker of taskq, with the handlers that are linked into this program")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(change::argument());
    if face != Face::Alone {
        command = command
            .subcommand(Command::new("run").about("Works until SIGINT or SIGTERM"))
            .subcommand(check::command())
            .subcommand(tasks::command());
        #[cfg(feature = "encryption")]
        {
            command = command.subcommand(super::rekey::command());
        }
    }
    #[cfg(feature = "top")]
    {
        command = command.subcommand(super::top::command());
    }
    command = command
        .subcommand(doctor::command())
        .subcommand(doctor::acknowledge())
        .subcommand(doctor::unacknowledge())
        .subcommand(stats::stats())
        .subcommand(stats::minutes())
        .subcommand(stats::load())
        .subcommand(workers::workers())
        .subcommand(workers::stop_worker())
        .subcommand(workers::forget_worker())
        .subcommand(mend::end_session())
        .subcommand(list::command())
        .subcommand(show::command())
        .subcommand(causes::command())
        .subcommand(audit::command())
        .subcommand(act::cancel())
        .subcommand(act::retry())
        .subcommand(act::discard())
        .subcommand(act::reschedule())
        .subcommand(mend::take_back())
        .subcommand(by_hand::edit())
        .subcommand(by_hand::enqueue())
        .subcommand(bulk::command())
        .subcommand(prune::command())
        .subcommand(keep::keep())
        .subcommand(keep::reset_keep())
        .subcommand(keep::keeps())
        .subcommand(pause::pause())
        .subcommand(pause::resume())
        .subcommand(pause::pauses())
        .subcommand(limits::limit())
        .subcommand(limits::reset())
        .subcommand(limits::limits())
        .subcommand(sequences::blocked())
        .subcommand(sequences::skip_dead())
        .subcommand(groups::groups())
        .subcommand(groups::seal_group())
        .subcommand(weights::weight())
        .subcommand(weights::weights())
        .subcommand(migrate::command())
        .subcommand(bench::command());
    #[cfg(feature = "dashboard")]
    {
        command = command.subcommand(super::dashboard::command());
    }
    #[cfg(feature = "cron")]
    {
        command = command
            .subcommand(schedules::command())
            .subcommand(schedules::cron());
    }
    if face != Face::Mounted {
        command = command.subcommand(completions::command());
    }
    command
}

/// Does what was said. `whole` is the command of which the matches are.
pub(super) async fn execute(
    whole: Command,
    builder: WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    if let Some(refused) = change::announce(&builder, matches) {
        return Ok(refused);
    }
    let builder = match change::is_read_only(matches) {
        true => change::read_only(builder),
        false => builder,
    };
    match matches.subcommand() {
        Some(("run", _)) => return run::execute(builder).await,
        Some(("check", matches)) => return check::execute(&builder, matches).await,
        Some(("tasks", matches)) => return tasks::execute(&builder.registry()?, matches),
        #[cfg(feature = "encryption")]
        Some(("rekey", matches)) => return super::rekey::execute(&builder, matches).await,
        Some(("doctor", matches)) => return doctor::execute(&builder, matches).await,
        Some(("acknowledge", matches)) => doctor::execute_acknowledge(&builder, matches).await?,
        Some(("unacknowledge", matches)) => {
            doctor::execute_unacknowledge(&builder, matches).await?;
        }
        #[cfg(feature = "top")]
        Some(("top", matches)) => return super::top::execute(&builder, matches).await,
        Some(("stats", matches)) => stats::execute_stats(&builder, matches).await?,
        Some(("minutes", matches)) => stats::execute_minutes(&builder, matches).await?,
        Some(("load", matches)) => stats::execute_load(&builder, matches).await?,
        Some(("workers", matches)) => workers::execute_workers(&builder, matches).await?,
        Some(("stop-worker", matches)) => workers::execute_stop_worker(&builder, matches).await?,
        Some(("forget-worker", matches)) => {
            workers::execute_forget_worker(&builder, matches).await?;
        }
        Some(("end-session", matches)) => mend::execute_end_session(&builder, matches).await?,
        Some(("take-back", matches)) => mend::execute_take_back(&builder, matches).await?,
        Some(("list", matches)) => list::execute(&builder, matches).await?,
        Some(("show", matches)) => show::execute(&builder, matches).await?,
        Some(("causes", matches)) => causes::execute(&builder, matches).await?,
        Some(("audit", matches)) => audit::execute(&builder, matches).await?,
        Some((verb @ ("cancel" | "retry" | "discard" | "reschedule"), matches)) => {
            return act::execute(&builder, verb, matches).await;
        }
        Some(("edit", matches)) => by_hand::execute_edit(&builder, matches).await?,
        Some(("enqueue", matches)) => by_hand::execute_enqueue(&builder, matches).await?,
        Some(("bulk", matches)) => return bulk::execute(&builder, matches).await,
        Some(("keeps", matches)) => keep::execute_keeps(&builder, matches).await?,
        Some((verb @ ("keep" | "reset-keep"), matches)) => {
            keep::execute(&builder, verb, matches).await?;
        }
        Some(("prune", matches)) => return prune::execute(&builder, matches).await,
        Some(("pause", matches)) => pause::execute_pause(&builder, matches).await?,
        Some(("resume", matches)) => pause::execute_resume(&builder, matches).await?,
        Some(("pauses", matches)) => pause::execute_pauses(&builder, matches).await?,
        Some(("limit", matches)) => limits::execute_limit(&builder, matches).await?,
        Some(("reset-limits", matches)) => limits::execute_reset(&builder, matches).await?,
        Some(("limits", matches)) => limits::execute_limits(&builder, matches).await?,
        Some(("blocked", matches)) => sequences::execute_blocked(&builder, matches).await?,
        Some(("skip-dead", matches)) => sequences::execute_skip_dead(&builder, matches).await?,
        Some(("groups", matches)) => groups::execute_groups(&builder, matches).await?,
        Some(("seal-group", matches)) => groups::execute_seal_group(&builder, matches).await?,
        Some(("weight", matches)) => weights::execute_weight(&builder, matches).await?,
        Some(("weights", matches)) => weights::execute_weights(&builder, matches).await?,
        Some(("migrate", matches)) => return migrate::execute(&builder, matches).await,
        Some(("bench", matches)) => return bench::execute(&builder, matches).await,
        #[cfg(feature = "dashboard")]
        Some(("dashboard", matches)) => super::dashboard::execute(&builder, matches).await?,
        Some(("completions", matches)) => completions::execute(whole, matches)?,
        #[cfg(feature = "cron")]
        Some(("schedules", matches)) => schedules::execute(&builder, matches).await?,
        #[cfg(feature = "cron")]
        Some(("cron", matches)) => schedules::execute_cron(&builder, matches).await?,
        _ => unreachable!("clap asks for one of the commands"),
    }
    Ok(ExitCode::SUCCESS)
}

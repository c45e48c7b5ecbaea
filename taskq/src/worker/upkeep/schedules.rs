//! Following schedules: saying which ones this worker declares, and taking ticks.
//!
//! There is no leader. Each worker asks when the next tick is, sleeps until then by its own monotonic clock, and asks
//! again. Whether a tick has come, Postgres's clock decides. The statement that takes ticks locks the schedule's row,
//! skips it where another worker has it, and enqueues the tasks as it moves the row on. So each tick is taken once,
//! whoever dies when. If all workers stopped, the ticks of that time would be missed, and what becomes of them each
//! schedule says.
//!
//! A schedule that this worker cannot follow keeps no other from ticking. What is wrong stands on its row, and it is
//! left to workers that know better, until it changes; one that Postgres refuses is tried again after a minute.

use std::io;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::Error;

use super::duty::{Duty, First};
use crate::calendar::Calendar;
use crate::calendar::owed::{self, Policy};
use crate::error::error_text;
use crate::faults::crash_point;
use crate::store::{DueRow, Refusal, Store, TakenTicks};
use crate::worker::shared::Core;
use crate::worker::trouble::Said;

pub(crate) const DUTY: Duty = Duty {
    name: "schedules",
    period: |_| Some(PERIOD),
    first: |_| First::AtStart,
    sooner: Some(|core| core.schedules.wait().boxed()),
    // Each call has a limit of its own.
    limit: Duration::from_secs(5 * 60),
    retry: Some(Duration::from_secs(2)),
    run: |core| follow(core).boxed(),
};

/// How often a worker looks, though it knows of no tick and hears of no change.
const PERIOD: Duration = Duration::from_secs(30);

/// For how long a worker's word holds that it declares a schedule: three times the period.
const DECLARED_FOR: Duration = Duration::from_secs(90);

/// How long a schedule may go undeclared before it ends.
const SILENT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a worker must have looked to end a schedule. After an outage others come back at the same time, and
/// have said nothing yet.
const ENDS_AFTER: Duration = Duration::from_secs(5 * 60);

/// How many schedules are looked at together.
const PAGE: usize = 500;

/// How soon to look again where another worker, or a transaction, holds the schedules that tick.
const TAKEN_ELSEWHERE: Duration = Duration::from_millis(250);

/// How soon a tick is tried again that Postgres refused.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// How much later workers come to a tick, at the most: so that not all come at once.
const SPREAD: Duration = Duration::from_millis(30);

async fn follow(core: &Core) -> bool {
    core.schedules.record_next(None);
    let mut store = core.store();
    match follow_with(core, &mut store).await {
        Ok(()) => true,
        Err(error) => {
            core.schedules.record_failure();
            if let Some(Said { error, again }) = core.trouble("schedules", &error) {
                tracing::warn!(
                    error,
                    "cannot follow the schedules; trying again soon{again}"
                );
            }
            false
        }
    }
}

async fn follow_with(core: &Core, store: &mut Store<'static>) -> Result<(), Error> {
    if core.schedules.must_say(PERIOD, Instant::now()) {
        declare(core, store).await?;
        core.schedules.record_said(Instant::now());
    }
    loop {
        let left_out = core.schedules.left_out(Instant::now());
        let rows = store.due(PERIOD, PAGE, &left_out).await?;
        let asked = Instant::now();
        let due: Vec<&DueRow> = rows.iter().filter(|row| row.is_due()).collect();
        if due.is_empty() {
            let next = rows.iter().find_map(|row| row.due_in);
            let next = next.and_then(|due_in| Duration::try_from_secs_f64(due_in).ok());
            let spread = SPREAD.mul_f64(fastrand::f64());
            core.schedules
                .record_next(next.map(|next| asked + next + spread));
            return Ok(());
        }
        let mut is_better = false;
        for row in due {
            is_better |= take(core, store, row).await?;
        }
        if !is_better {
            core.schedules
                .record_next(Some(Instant::now() + TAKEN_ELSEWHERE));
            return Ok(());
        }
    }
}

/// Says what this worker declares, and ends what nobody has declared for long.
async fn declare(core: &Core, store: &mut Store<'static>) -> Result<(), Error> {
    // What is wrong with one, `build` has said.
    let declared = core.registry.schedules().unwrap_or_default();
    if !declared.is_empty() {
        let (names, definitions): (Vec<_>, Vec<_>) = declared.into_iter().unzip();
        let changed = store
            .declare_schedules(&names, &definitions, DECLARED_FOR)
            .await?;
        if changed > 0 {
            tracing::info!(schedules = ?names, changed, "declared schedules");
        }
    }
    let may_end = core.schedules.has_looked_for(ENDS_AFTER, Instant::now());
    for schedule in store.end_undeclared(SILENT_FOR, may_end).await? {
        tracing::warn!(
            schedule,
            "schedule ended: no worker has declared it for a day"
        );
    }
    Ok(())
}

/// Takes what a schedule owes. Returns whether there is less to do now.
async fn take(core: &Core, store: &mut Store<'static>, row: &DueRow) -> Result<bool, Error> {
    let DueRow { name, revision, .. } = row;
    let taken = match decide(row) {
        Ok(taken) => taken,
        Err(problem) => {
            tracing::warn!(schedule = name, "schedule left to other workers: {problem}");
            core.schedules.leave_out(name, *revision, None);
            store.refuse_schedule(name, *revision, &problem).await?;
            return Ok(true);
        }
    };
    crash_point("before_tick");
    let ticked = store.tick(name, *revision, &taken).await;
    crash_point("after_tick");
    match ticked {
        Ok(Some(ticks)) => {
            if taken.missed > 0 {
                tracing::warn!(
                    schedule = name,
                    missed = taken.missed,
                    "ticks were missed and are left out, as `catch_up` says"
                );
            }
            tracing::debug!(schedule = name, ticks, "ticked");
            Ok(true)
        }
        Ok(None) => Ok(false),
        // A trigger that hangs, too: one schedule must not keep the others.
        Err(error) if Refusal::of(&error).is_some() || is_timeout(&error) => {
            let problem = format!("Postgres refuses its tick: {}", error_text(&error));
            tracing::error!(schedule = name, "schedule does not tick: {problem}");
            let again = Instant::now() + REFUSED_FOR;
            core.schedules.leave_out(name, *revision, Some(again));
            store.refuse_schedule(name, *revision, &problem).await?;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

fn is_timeout(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// Decides what is taken now; or says why this worker cannot.
fn decide(row: &DueRow) -> Result<TakenTicks, String> {
    let calendar = Calendar::parse(&row.expression, &row.timezone);
    let calendar = calendar.map_err(|error| error.to_string())?;
    let policy = Policy::of_words(&row.catch_up, row.catch_up_within);
    let owed = policy.decide(&calendar, row.owed_after, row.asked_at);
    let Some(next) = owed.next else {
        return Err(format!("`{}` never comes again", row.expression));
    };
    let jitter = Duration::try_from_secs_f64(row.jitter).unwrap_or_default();
    let later = |tick| owed::delay(&row.name, jitter, tick, calendar.next_after(tick));
    Ok(TakenTicks {
        later: owed.ticks.iter().map(|tick| later(*tick)).collect(),
        ticks: owed.ticks,
        owed_after: owed.owed_after,
        next,
        missed: owed.missed,
    })
}

impl DueRow {
    fn is_due(&self) -> bool {
        self.due_in.is_none_or(|due_in| due_in <= 0.0)
    }
}

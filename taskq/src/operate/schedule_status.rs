//! How far a schedule has come.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;

use super::pause::{Pause, Schedule, Scope};
use crate::calendar::{CatchUp, Overlap, Skip};
use crate::lane::HeldPause;
use crate::store::ScheduleRow;

/// A schedule, and how far it has come.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ScheduleStatus {
    /// What it is known by.
    pub name: String,
    /// The cron expression.
    pub expression: String,
    /// The time zone on whose clocks it ticks.
    pub timezone: String,
    /// The type of its tasks.
    pub task_type: String,
    /// Their payload; in the place of secret values stands `***`.
    pub payload: Box<RawValue>,
    /// What becomes of ticks that were missed.
    #[serde(serialize_with = "catch_up")]
    pub catch_up: CatchUp,
    /// How long ago they may have been; absent where any time is allowed.
    pub catch_up_within: Option<Duration>,
    /// What a tick does while the task of the last one is still there.
    #[serde(serialize_with = "overlap")]
    pub overlap: Overlap,
    /// How much later its tasks start at the most.
    pub jitter: Duration,
    /// Who has said it by hand; absent where a program declares it.
    pub made_by: Option<String>,
    /// Why, if they said so.
    pub reason: Option<String>,
    /// What a program declares, where that is not what holds: the expression and the time zone.
    pub declares: Option<String>,
    /// Whether it ticks, if it is not paused: it was said by hand, or a living worker declares it.
    pub is_alive: bool,
    /// The pause that holds.
    pub pause: Option<Pause>,
    /// When it ticks next; absent until a worker has found out.
    pub next_tick: Option<DateTime<Utc>>,
    /// The last tick that enqueued a task, by its nominal time.
    pub last_tick: Option<DateTime<Utc>>,
    /// The last tasks, as far as they matter for the next tick.
    pub last_task_ids: Vec<i64>,
    /// How many ticks enqueued a task.
    pub ticks: i64,
    /// When somebody last had it run by hand; absent where nobody has.
    pub ran_at: Option<DateTime<Utc>>,
    /// The task that was enqueued then.
    pub ran_task_id: Option<i64>,
    /// How many were missed and left out.
    pub skipped_missed: i64,
    /// How many enqueued nothing because of a task that was still there.
    pub skipped_overlap: i64,
    /// Which ticks were left out last, and why: five stretches at the most, the newest last.
    pub skips: Vec<Skip>,
    /// Why it cannot tick, if the last try failed.
    pub error: Option<String>,
}

impl ScheduleStatus {
    pub(super) fn of(row: ScheduleRow, pauses: &[HeldPause]) -> Self {
        let scope: Scope = Schedule(&row.name).into();
        let seconds = |it| Duration::try_from_secs_f64(it).ok();
        let pause = pauses.iter().find(|held| held.pause.scope == scope);
        Self {
            pause: pause.map(|held| held.pause.clone()),
            expression: row.expression,
            timezone: row.timezone,
            task_type: row.task_type,
            payload: row.shown,
            catch_up: CatchUp::of_word(&row.catch_up),
            catch_up_within: row.catch_up_within.and_then(seconds),
            overlap: Overlap::of_word(&row.overlap),
            jitter: seconds(row.jitter).unwrap_or_default(),
            made_by: row.made_by,
            reason: row.reason,
            declares: row.declares,
            is_alive: row.is_alive,
            next_tick: row.next_tick,
            last_tick: row.last_tick,
            last_task_ids: row.last_task_ids,
            ticks: row.ticks,
            ran_at: row.ran_at,
            ran_task_id: row.ran_task_id,
            skipped_missed: row.skipped_missed,
            skipped_overlap: row.skipped_overlap,
            skips: row.skips,
            error: row.error,
            name: row.name,
        }
    }
}

fn catch_up<S: serde::Serializer>(it: &CatchUp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(it.word())
}

fn overlap<S: serde::Serializer>(it: &Overlap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(it.word())
}

#[cfg(feature = "cli")]
impl ScheduleStatus {
    /// Returns what not all schedules have, in lines for a list.
    pub(crate) fn details(&self) -> Vec<String> {
        let mut counts = Vec::new();
        if self.task_type != self.name {
            counts.push(format!("enqueues {}", self.task_type));
        }
        if self.ticks + self.skipped_missed + self.skipped_overlap > 0 {
            let last = self.last_tick.map(|last| format!(", last {}", time(last)));
            let (counted, last) = (self.counted(), last.unwrap_or_default());
            counts.push(format!("{counted}{last}"));
        }
        counts.extend(self.by_hand());
        counts.extend(self.said_by());
        let counts = (!counts.is_empty()).then(|| counts.join("; "));
        let declares = self.declares.as_ref();
        let pause = self.pause.as_ref();
        let rests = !self.is_alive && self.pause.is_none();
        let others = [
            declares.map(|declares| format!("a program says {declares}")),
            pause.map(|pause| pause.to_string()),
            rests.then(|| "no living worker declares it".to_owned()),
            self.error.clone(),
        ];
        let skips = self.skips.iter().rev().map(Skip::to_string);
        let others = others.into_iter().flatten();
        counts.into_iter().chain(others).chain(skips).collect()
    }
}

impl ScheduleStatus {
    /// `said by ada (the bank closes earlier)`
    fn said_by(&self) -> Option<String> {
        let reason = self.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let made_by = self.made_by.as_ref()?;
        Some(format!("said by {made_by}{reason}"))
    }

    /// `last run by hand 2026-03-01T07:30:00Z`
    fn by_hand(&self) -> Option<String> {
        let at = self.ran_at?;
        Some(format!("last run by hand {}", time(at)))
    }

    /// `31 ticks, 2 missed`
    fn counted(&self) -> String {
        let mut text = format!("{} ticks", self.ticks);
        for (count, why) in [
            (self.skipped_missed, "missed"),
            (self.skipped_overlap, "overlapping"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {why}"));
            }
        }
        text
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `nightly: 0 2 * * * Europe/Zurich, report; next 2026-03-02T01:00:00Z, last 2026-03-01T01:00:00Z; 31 ticks, 2 missed`
impl fmt::Display for ScheduleStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            expression,
            timezone,
            task_type,
            ..
        } = self;
        let time = |at: Option<DateTime<Utc>>| at.map_or("-".into(), time);
        write!(f, "{name}: {expression} {timezone}, {task_type}")?;
        write!(
            f,
            "; next {}, last {}",
            time(self.next_tick),
            time(self.last_tick)
        )?;
        write!(f, "; {}", self.counted())?;
        if let Some(by_hand) = self.by_hand() {
            write!(f, "; {by_hand}")?;
        }
        if let Some(said) = self.said_by() {
            write!(f, "; {said}")?;
        }
        if let Some(declares) = &self.declares {
            write!(f, ", a program says {declares}")?;
        }
        match &self.pause {
            Some(pause) => write!(f, "; {pause}")?,
            None if !self.is_alive => write!(f, "; rests: no living worker declares it")?,
            None => {}
        }
        match &self.error {
            Some(error) => write!(f, "; does not tick: {error}"),
            None => Ok(()),
        }
    }
}

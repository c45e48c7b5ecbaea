//! What a schedule says, as a task type declares it.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::by_name::enqueue_options;
use super::options::{TaskOptions, name_problem};
use crate::calendar::{Calendar, CatchUp, Overlap, Rules};
use crate::error::ScheduleError;

/// Enqueues tasks of a type by the calendar.
///
/// `#[task(cron = "0 9 * * MON-FRI", timezone = "Europe/Zurich")]` writes it, and
/// [`Declaration::schedules`](crate::handler::Declaration::schedules) takes it from a [`Task`](crate::handler::Task) by
/// hand, which may have several:
///
/// ```
/// use std::time::Duration;
/// use taskq::schedule::{CatchUp, Overlap, Schedule};
///
/// const SCHEDULES: &[Schedule] = &[
///     Schedule::new("0 9 * * MON-FRI").timezone("Europe/Zurich").overlap(Overlap::Skip),
///     Schedule::new("0 4 1 * *")
///         .name("monthly_report")
///         .payload(r#"{"whole_month": true}"#)
///         .catch_up(CatchUp::All),
/// ];
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) name: Option<&'static str>,
    expression: &'static str,
    timezone: &'static str,
    payload: &'static str,
    rules: Rules,
}

/// A definition, as `declare_schedules.sql` takes it.
#[derive(Serialize)]
struct Definition<'a> {
    expression: &'a str,
    timezone: &'a str,
    task_type: &'a str,
    payload: &'a RawValue,
    options: Map<String, Value>,
    catch_up: &'a str,
    catch_up_within: Option<f64>,
    overlap: &'a str,
    jitter: f64,
}

impl Schedule {
    /// Ticks whenever this cron expression says so, in UTC. It has five fields, or six with the second first.
    pub const fn new(expression: &'static str) -> Self {
        Self {
            name: None,
            expression,
            timezone: "UTC",
            payload: "{}",
            rules: Rules {
                catch_up: CatchUp::Once,
                catch_up_within: None,
                overlap: Overlap::Allow,
                jitter: Duration::ZERO,
            },
        }
    }

    /// Gives it a name of its own. A schedule is what it is by its name; unless set, that is the task type's.
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the time zone on whose clocks it ticks, by its name in the tz database.
    pub const fn timezone(mut self, timezone: &'static str) -> Self {
        self.timezone = timezone;
        self
    }

    /// Sets the payload of its tasks, as JSON; `{}` unless set.
    pub const fn payload(mut self, payload: &'static str) -> Self {
        self.payload = payload;
        self
    }

    /// Sets what becomes of ticks that were missed.
    pub const fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.rules.catch_up = catch_up;
        self
    }

    /// Sets how long ago ticks may have been that are caught up.
    pub const fn catch_up_within(mut self, within: Duration) -> Self {
        self.rules.catch_up_within = Some(within);
        self
    }

    /// Sets what a tick does while the task of the last one is still there.
    pub const fn overlap(mut self, overlap: Overlap) -> Self {
        self.rules.overlap = overlap;
        self
    }

    /// Has its tasks start up to so much later, each time by the same, which depends on the schedule's name. So
    /// schedules of one time do not all start at once.
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.rules.jitter = jitter;
        self
    }

    /// Returns what the tables are told, or what is wrong.
    pub(crate) fn definition(
        &self,
        task_type: &str,
        options: &TaskOptions,
    ) -> Result<Box<RawValue>, ScheduleError> {
        self.check()?;
        let payload = self.read_payload()?;
        let definition = Definition {
            expression: self.expression,
            timezone: self.timezone,
            task_type,
            payload: &payload,
            options: enqueue_options(options),
            catch_up: self.rules.catch_up.word(),
            catch_up_within: self.rules.within().map(|it| it.as_secs_f64()),
            overlap: self.rules.overlap.word(),
            jitter: self.rules.jitter.as_secs_f64(),
        };
        to_raw_value(&definition).map_err(|error| ScheduleError::Option {
            problem: error.to_string(),
        })
    }

    pub(crate) fn read_payload(&self) -> Result<Box<RawValue>, ScheduleError> {
        serde_json::from_str(self.payload).map_err(|error| ScheduleError::Option {
            problem: format!("its payload is no JSON: {error}"),
        })
    }

    fn check(&self) -> Result<(), ScheduleError> {
        Calendar::parse(self.expression, self.timezone)?;
        if let Some(problem) = self.name.and_then(name_problem) {
            let problem = format!("its name {problem}");
            return Err(ScheduleError::Option { problem });
        }
        self.rules.check()
    }

    /// Says when it ticks, and on whose clocks.
    #[cfg(all(feature = "cli", feature = "schemars"))]
    pub(crate) fn times(&self) -> String {
        format!("{} {}", self.expression, self.timezone)
    }

    /// Shows it as `tasks` does.
    #[cfg(feature = "cli")]
    pub(crate) fn shown(&self) -> String {
        let Self {
            expression,
            timezone,
            rules,
            ..
        } = self;
        let mut text = match self.name {
            Some(name) => format!("{name}: "),
            None => String::new(),
        };
        let catch_up = rules.catch_up.word();
        text.push_str(&format!("{expression} {timezone}, catch_up: {catch_up}"));
        if let Some(within) = rules.within() {
            text.push_str(&format!(" within {within:?}"));
        }
        text.push_str(&format!(", overlap: {}", rules.overlap.word()));
        if !rules.jitter.is_zero() {
            text.push_str(&format!(", jitter: {:?}", rules.jitter));
        }
        text
    }
}

//! How many tasks of a type run at once, and how fast they start.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// How many tasks run at once, over all workers: of a task type, or of each key.
///
/// `#[task(concurrency = 10)]` and `#[task(concurrency(5, key = tenant_id))]` write it:
///
/// ```
/// use taskq::handler::TaskOptions;
/// use taskq::limit::Concurrency;
///
/// const OPTIONS: TaskOptions =
///     TaskOptions::new().concurrency(Concurrency::new(5).key(&["tenant_id"]));
/// ```
///
/// # What holds
///
/// A task runs from its claim until it has left its lease: whatever it leaves by, and though its worker is killed. What
/// is beyond the limit waits in its place. It is not claimed, uses no attempt, and is in nobody's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    pub(crate) most: u32,
    pub(crate) key: Option<&'static [&'static str]>,
}

/// How many tasks start in a time, over all workers: of a task type, or of each key.
///
/// `#[task(rate = "100/min")]` and `#[task(rate("100/min", burst = 20, key = tenant_id))]` write it:
///
/// ```
/// use std::time::Duration;
///
/// use taskq::handler::TaskOptions;
/// use taskq::limit::Rate;
///
/// const OPTIONS: TaskOptions =
///     TaskOptions::new().rate(Rate::new(100, Duration::from_secs(60)).burst(20));
/// ```
///
/// # What holds
///
/// In no stretch of time do more start than `burst`, and as many as fit into it by the rate. A start counts, whatever
/// becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub(crate) most: u32,
    pub(crate) time: Duration,
    pub(crate) burst: u32,
    pub(crate) key: Option<&'static [&'static str]>,
}

impl Concurrency {
    /// Lets so many tasks of the type run at once; at least 1.
    pub const fn new(most: u32) -> Self {
        Self { most, key: None }
    }

    /// Lets so many run at once of each key, which these fields of the payload's JSON make.
    pub const fn key(mut self, fields: &'static [&'static str]) -> Self {
        self.key = Some(fields);
        self
    }
}

impl Rate {
    /// Lets so many tasks of the type start in this time; at least 1. As many may start at once as fit into a second.
    pub const fn new(most: u32, time: Duration) -> Self {
        let in_a_second = most as u128 * 1_000_000_000 / at_least_one(time.as_nanos());
        Self {
            most,
            time,
            burst: if in_a_second < 1 {
                1
            } else if in_a_second > most as u128 {
                most
            } else {
                in_a_second as u32
            },
            key: None,
        }
    }

    /// Lets so many start at once after a time of quiet; at least 1.
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Lets so many start of each key, which these fields of the payload's JSON make.
    pub const fn key(mut self, fields: &'static [&'static str]) -> Self {
        self.key = Some(fields);
        self
    }
}

const fn at_least_one(number: u128) -> u128 {
    if number == 0 { 1 } else { number }
}

/// A limit that a task type declares, as the table of limits has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DeclaredLimit {
    scope: &'static str,
    kind: &'static str,
    most: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'static [&'static str]>,
    aliases: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    on_dead: Option<&'static str>,
}

impl Concurrency {
    /// Returns what the table of limits has of it, for a type with these other names.
    pub(crate) fn declared(&self, aliases: &'static [&'static str]) -> DeclaredLimit {
        DeclaredLimit {
            scope: scope(self.key),
            kind: "concurrency",
            most: saturating_i32(self.most),
            seconds: None,
            burst: None,
            fields: self.key,
            aliases,
            on_dead: None,
        }
    }
}

impl Rate {
    /// Returns what the table of limits has of it, for a type with these other names.
    pub(crate) fn declared(&self, aliases: &'static [&'static str]) -> DeclaredLimit {
        DeclaredLimit {
            scope: scope(self.key),
            kind: "rate",
            most: saturating_i32(self.most),
            seconds: Some(self.time.as_secs_f64()),
            burst: Some(saturating_i32(self.burst)),
            fields: self.key,
            aliases,
            on_dead: None,
        }
    }
}

impl DeclaredLimit {
    /// Returns what the table has of fair turns: they bound nothing, and a key has one turn in a round.
    pub(crate) fn of_fair(key: &'static [&'static str], aliases: &'static [&'static str]) -> Self {
        Self {
            scope: scope(Some(key)),
            kind: "fair",
            most: 1,
            seconds: None,
            burst: None,
            fields: Some(key),
            aliases,
            on_dead: None,
        }
    }

    /// Returns what the table has of a sequence: one at a time of each key, the oldest first.
    pub(crate) fn of_sequence(
        key: &'static [&'static str],
        on_dead: &'static str,
        aliases: &'static [&'static str],
    ) -> Self {
        Self {
            scope: scope(Some(key)),
            kind: "sequence",
            most: 1,
            seconds: None,
            burst: None,
            fields: Some(key),
            aliases,
            on_dead: Some(on_dead),
        }
    }
}

/// `5 at once for each tenant_id`, `fair turns for each tenant_id`,
/// `in sequence for each order_id, which a dead task blocks`
impl fmt::Display for DeclaredLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, burst, .. } = self;
        match (self.seconds, burst) {
            (Some(seconds), Some(burst)) => write!(f, "{most} in {seconds}s, {burst} at once")?,
            _ if self.on_dead.is_some() => write!(f, "in sequence")?,
            _ if self.kind == "fair" => write!(f, "fair turns")?,
            _ => write!(f, "{most} at once")?,
        }
        if let Some(fields) = self.fields {
            write!(f, " for each {}", fields.join(", "))?;
        }
        match self.on_dead {
            Some("block") => f.write_str(", which a dead task blocks"),
            Some(_) => f.write_str(", which skips a dead task"),
            None => Ok(()),
        }
    }
}

/// Returns the word for what a limit is of.
fn scope(key: Option<&[&str]>) -> &'static str {
    match key {
        Some(_) => "key",
        None => "task_type",
    }
}

fn saturating_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::sequence::{OnDead, Sequence};

    #[test]
    fn a_lock_file_says_what_holds() {
        let shown = |limit: DeclaredLimit| limit.to_string();
        assert_eq!(shown(Concurrency::new(5).declared(&[])), "5 at once");
        let sequence = Sequence::by(&["order_id", "region"]);
        assert_eq!(
            shown(sequence.declared(&[])),
            "in sequence for each order_id, region, which a dead task blocks"
        );
        assert_eq!(
            shown(sequence.on_dead(OnDead::Skip).declared(&[])),
            "in sequence for each order_id, region, which skips a dead task"
        );
        assert_eq!(
            shown(DeclaredLimit::of_fair(&["tenant_id"], &[])),
            "fair turns for each tenant_id"
        );
    }

    #[test]
    fn as_many_start_at_once_as_fit_into_a_second() {
        let burst = |most, seconds| Rate::new(most, Duration::from_secs(seconds)).burst;
        assert_eq!(burst(100, 60), 1);
        assert_eq!(burst(1_000, 1), 1_000);
        assert_eq!(burst(1_000, 10), 100);
        let quick = Rate::new(10, Duration::from_millis(100));
        assert_eq!(quick.burst, 10, "no more than the rate names");
    }
}

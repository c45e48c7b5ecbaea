//! What the tables hold when all is over.

use std::collections::{BTreeMap, HashMap, HashSet};

/// What the tables hold when all is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// How often each task left its effect.
    pub effects: HashMap<i64, i64>,
    /// The transactions that have committed, each by its first task.
    pub committed: HashSet<i64>,
    /// Attempts of the tasks that were discarded.
    pub discarded: HashMap<i64, u16>,
    /// Tasks that were quarantined.
    pub quarantined: HashSet<i64>,
    /// Tasks that Postgres refused, and that nobody has taken back.
    pub refused: HashSet<i64>,
    /// Tasks that still wait, run, or were set aside as something else.
    pub left: HashSet<i64>,
    /// What each schedule has enqueued, by its name.
    pub ticks: BTreeMap<String, Ticks>,
}

/// The ticks of a schedule that catches up all it misses, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticks {
    /// The time between two.
    pub period: i64,
    /// Those whose tasks ran, or are kept.
    pub taken: Vec<i64>,
    /// The last that the schedule has come to.
    pub last: Option<i64>,
}

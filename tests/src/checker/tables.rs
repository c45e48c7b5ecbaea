//! What the tables hold when all is over.

use std::collections::{HashMap, HashSet};

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
}

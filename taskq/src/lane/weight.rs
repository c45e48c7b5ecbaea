//! The weight of a key whose type has fair turns.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

/// How many tasks a turn of a key is, where those of others are one: an operator's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyWeight {
    /// The task type.
    pub task_type: String,
    /// The fields that make the key: `{"tenant_id": 7}`.
    pub key: Value,
    /// From 1 to 1000.
    pub weight: u32,
    /// When it was said.
    pub said_at: DateTime<Utc>,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// `render {"tenant_id":7}: weight 3, by ada since 2026-03-01T07:30:00Z: the large plan`
impl fmt::Display for KeyWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task_type,
            key,
            weight,
            by,
            ..
        } = self;
        let since = self.said_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(
            f,
            "{task_type} {key}: weight {weight}, by {by} since {since}"
        )?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

//! How the attempts of one call ended.

use serde_json::{Map, Value};

use super::super::handler::{Decided, Ended, Taken};
use crate::attempt::batch::MOST;
use crate::attempt::verdict::{Settlement, Verdict};

/// How the attempt at one of the tasks ended.
pub(super) struct End {
    /// Which of them.
    pub(super) at: usize,
    pub(super) ended: Ended,
    /// Among how many its next attempt is made at the most, if the call failed for all of them.
    pub(super) most: Option<usize>,
}

impl End {
    pub(super) fn new(at: usize, ended: Ended) -> Self {
        Self {
            at,
            ended,
            most: None,
        }
    }
}

/// What a handler did.
pub(super) struct Ran {
    /// Ends that came before the handler began, as of payloads that do not decode.
    pub(super) before: Vec<End>,
    pub(super) how: How,
}

/// How a call ended.
pub(super) enum How {
    /// No payload was left for the handler.
    NotCalled,
    Decided {
        members: Vec<Member>,
        /// Whether the handler has one outcome for all, and that is a failure.
        has_failed: bool,
    },
    /// Some tasks were taken, and the handler was stopped.
    Taken(Vec<(usize, Option<Taken>)>),
    /// The worker stops.
    Stopped(Vec<usize>),
}

/// What was decided about a task that the handler was given.
pub(super) struct Member {
    pub(super) at: usize,
    /// Nothing if the task was taken.
    pub(super) decided: Result<Decided, Taken>,
    pub(super) most: Option<usize>,
}

impl Member {
    pub(super) fn into_end(self) -> End {
        let ended = match self.decided {
            Ok(decided) => Ended::Unsettled(decided),
            Err(why) => Ended::Taken(why),
        };
        End {
            at: self.at,
            ended,
            most: self.most,
        }
    }
}

impl Ran {
    /// Returns the ends of attempts that had no transaction.
    pub(super) fn into_ends(self) -> Vec<End> {
        let mut ends = self.before;
        match self.how {
            How::NotCalled => {}
            How::Decided { members, .. } => ends.extend(members.into_iter().map(Member::into_end)),
            How::Taken(tasks) => ends.extend(tasks.into_iter().map(taken_or_handed_back)),
            How::Stopped(tasks) => ends.extend(handed_back(tasks)),
        }
        ends
    }
}

/// Ends an attempt of which some tasks were taken. The others are not charged.
pub(super) fn taken_or_handed_back((at, taken): (usize, Option<Taken>)) -> End {
    let ended = match taken {
        Some(why) => Ended::Taken(why),
        None => Ended::Unsettled(Verdict::HandBack.into()),
    };
    End::new(at, ended)
}

/// Ends attempts that were not made, or not to their end.
pub(super) fn handed_back(tasks: Vec<usize>) -> impl Iterator<Item = End> {
    let handed_back = tasks.into_iter().map(|at| (at, None));
    handed_back.map(taken_or_handed_back)
}

/// Reports once what failed for all and is attempted again.
pub(super) fn log_failed(members: &[Member]) {
    let again = members.iter().filter_map(|member| {
        let decided = member.decided.as_ref().ok()?;
        let is_retry = matches!(decided.verdict, Verdict::Retry { .. });
        Some((decided.verdict.error()?, member.most.filter(|_| is_retry)?))
    });
    if let Some((error, most)) = again.clone().next() {
        tracing::warn!(
            error,
            tasks = again.count(),
            most,
            "the call failed for all its tasks; each is attempted again among fewer"
        );
    }
}

/// Has the row of a task that is attempted again tell among how many that is done at the most.
pub(super) fn marked(settlement: Settlement, most: Option<usize>) -> Settlement {
    let is_retry = matches!(settlement.verdict, Verdict::Retry { .. });
    let Some(most) = most.filter(|_| is_retry) else {
        return settlement;
    };
    let mark = settlement.mark.as_deref();
    let mark = mark.and_then(|mark| serde_json::from_str::<Map<String, Value>>(mark).ok());
    let mut mark = mark.unwrap_or_default();
    mark.insert(MOST.to_owned(), most.into());
    Settlement {
        mark: serde_json::to_string(&mark).ok(),
        ..settlement
    }
}

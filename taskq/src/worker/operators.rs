//! What operators tell running workers: messages on a notification channel of their own.
//!
//! The channel is the schema's name and `.operator`, which no schema can be called. A message is a hint, as
//! every notification: what must hold though it is lost stands in a table, and workers find it by polling.
//!
//! ```sql
//! select pg_notify('taskq.operator', 'scan mail');
//! ```

use uuid::Uuid;

/// Which queues to scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wake {
    /// It has new tasks.
    Queue(String),
    /// Its tasks may stand anywhere in its lanes.
    WholeQueue(String),
    AllQueues,
    /// This worker hears of new tasks from now on, and may have missed some.
    Listening,
    /// Something limited may have ended there.
    Limited(String),
    /// Limits have changed.
    Limits,
}

/// Something that an operator says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// `scan`, `scan mail`: look for tasks now, in one queue or in all. Nothing else tells an idle worker of
    /// a task whose `run_at` was moved. Brakes have a probe claimed at once.
    Scan(Wake),
    /// `pauses`: read what is paused. A trigger on the table of pauses says it.
    Pauses,
    /// `schedules`: find out when the next one ticks. A trigger on the table of schedules says it.
    Schedules,
    /// `limits`: read what is limited. A trigger on the table of limits says it.
    Limits,
    /// `cancel <task_id>`: stop its handler, whose outcome does not count any more. A trigger on the audit says it.
    Cancel(i64),
    /// `stop <worker>`: stop gracefully, if it is said to this worker. A trigger on the audit says it.
    Stop(Uuid),
    /// `wake <worker> <queue>`: claim from a queue, if it is said to this worker. A worker says it that has let a limited
    /// task go and cannot claim the next.
    Wake { worker: Uuid, queue: String },
}

/// Takes in what an operator said.
pub(crate) fn hear(said: &str) -> Option<Message> {
    let message = Message::parse(said);
    if message.is_none() {
        tracing::warn!(
            said,
            "an operator said what this version does not understand"
        );
    }
    message
}

impl Message {
    fn parse(said: &str) -> Option<Self> {
        let (verb, object) = match said.trim().split_once(char::is_whitespace) {
            Some((verb, object)) => (verb, Some(object.trim().to_owned())),
            None => (said.trim(), None),
        };
        match verb {
            "scan" => Some(Self::Scan(object.map_or(Wake::AllQueues, Wake::WholeQueue))),
            "pauses" => Some(Self::Pauses),
            "schedules" => Some(Self::Schedules),
            "limits" => Some(Self::Limits),
            "cancel" => Some(Self::Cancel(object?.parse().ok()?)),
            "stop" => Some(Self::Stop(object?.parse().ok()?)),
            "wake" => {
                let object = object?;
                let (worker, queue) = object.split_once(' ')?;
                let (worker, queue) = (worker.parse().ok()?, queue.to_owned());
                Some(Self::Wake { worker, queue })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_scanned_when_an_operator_says_so() {
        let scan = |wake| Some(Message::Scan(wake));
        assert_eq!(hear("scan mail"), scan(Wake::WholeQueue("mail".into())));
        let spaced = Wake::WholeQueue("my queue".into());
        assert_eq!(hear(" scan  my queue "), scan(spaced));
        assert_eq!(hear("scan"), scan(Wake::AllQueues));
    }

    #[test]
    fn pauses_and_schedules_are_read_when_they_have_changed() {
        assert_eq!(hear("pauses"), Some(Message::Pauses));
        assert_eq!(hear("schedules"), Some(Message::Schedules));
    }

    #[test]
    fn a_task_is_cancelled_by_its_id() {
        assert_eq!(hear("cancel 42"), Some(Message::Cancel(42)));
        assert_eq!(hear("cancel all"), None);
    }

    #[test]
    fn a_worker_is_stopped_by_its_id() {
        let worker = Uuid::new_v4();
        assert_eq!(hear(&format!("stop {worker}")), Some(Message::Stop(worker)));
        assert_eq!(hear("stop all"), None);
    }

    #[test]
    fn a_message_of_a_later_version_is_passed_over() {
        assert_eq!(hear("dance 7"), None);
        assert_eq!(hear(""), None);
    }
}

//! What operators tell running workers: messages on a notification channel of their own.
//!
//! The channel is the schema's name and `.operator`, which no schema can be called. A message is a hint, as
//! every notification: what must hold though it is lost stands in a table, and workers find it by polling.
//!
//! ```sql
//! select pg_notify('taskq.operator', 'scan mail');
//! ```

/// Which queues to scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wake {
    /// It has new tasks.
    Queue(String),
    /// Its tasks may stand anywhere in its lanes.
    WholeQueue(String),
    AllQueues,
}

/// Something that an operator says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    /// `scan`, `scan mail`: look for tasks now, in one queue or in all. Nothing else tells an idle worker of
    /// a task whose `run_at` was moved. Brakes have a probe claimed at once.
    Scan { queue: Option<String> },
}

/// Takes in what an operator said, and returns which queues to scan for it, if any.
pub(crate) fn hear(said: &str) -> Option<Wake> {
    match Message::parse(said) {
        Some(Message::Scan { queue: Some(queue) }) => Some(Wake::WholeQueue(queue)),
        Some(Message::Scan { queue: None }) => Some(Wake::AllQueues),
        None => {
            tracing::warn!(
                said,
                "an operator said what this version does not understand"
            );
            None
        }
    }
}

impl Message {
    fn parse(said: &str) -> Option<Self> {
        let (verb, object) = match said.trim().split_once(char::is_whitespace) {
            Some((verb, object)) => (verb, Some(object.trim().to_owned())),
            None => (said.trim(), None),
        };
        match verb {
            "scan" => Some(Self::Scan { queue: object }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_scanned_when_an_operator_says_so() {
        assert_eq!(hear("scan mail"), Some(Wake::WholeQueue("mail".into())));
        assert_eq!(
            hear(" scan  my queue "),
            Some(Wake::WholeQueue("my queue".into()))
        );
        assert_eq!(hear("scan"), Some(Wake::AllQueues));
    }

    #[test]
    fn a_message_of_a_later_version_is_passed_over() {
        assert_eq!(hear("dance 7"), None);
        assert_eq!(hear(""), None);
    }
}

//! Keys by which others know an effect of a task again.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What the keys of one task are made of, beside the names of its effects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeySpace {
    /// Of the tables in which the task is.
    pub(crate) installation_id: Uuid,
    /// The first id of the task.
    pub(crate) task_id: i64,
    /// When it was enqueued: after a restore of the database, ids come again.
    pub(crate) created_at: DateTime<Utc>,
}

impl KeySpace {
    /// Returns the key of an effect. Released versions must give the same: banks remember it.
    pub(crate) fn key(&self, effect: &str) -> Uuid {
        let created_at = self.created_at.timestamp_micros();
        let text = format!("{}/{created_at}/{effect}", self.task_id);
        Uuid::new_v5(&self.installation_id, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(task_id: i64, micros: i64) -> KeySpace {
        KeySpace {
            installation_id: Uuid::from_u128(0x6ba7_b810_9dad_41d1_80b4_00c0_4fd4_30c8),
            task_id,
            created_at: DateTime::from_timestamp_micros(micros).expect("a time"),
        }
    }

    /// As `uuid.uuid5(namespace, "42/1767225600000000/charge")` of Python gives them.
    #[test]
    fn keys_are_for_ever() {
        let golden = [
            (
                42,
                1_767_225_600_000_000,
                "charge",
                "61c79b7f-72b0-526c-aec0-f893398fe9c2",
            ),
            (
                42,
                1_767_225_600_000_000,
                "refund",
                "997efe30-2785-5e3f-bae1-146f0525911d",
            ),
            (
                42,
                1_767_225_600_000_001,
                "charge",
                "ace03ef1-bc23-5b3e-9ef2-78257aba59ef",
            ),
            (
                43,
                1_767_225_600_000_000,
                "charge",
                "5e9d24e1-d860-569a-897c-92fe5ee41f22",
            ),
            (1, 0, "", "e95059fa-9439-5eea-8839-8ba96a3d1f16"),
            (
                i64::MAX,
                -1,
                "Überweisung/2",
                "4c53b288-3baf-5ac5-bf16-b7a15f1684bd",
            ),
        ];
        for (task_id, micros, effect, key) in golden {
            let space = space(task_id, micros);
            assert_eq!(space.key(effect).to_string(), key, "{effect} of {task_id}");
        }
    }

    #[test]
    fn other_tables_have_other_keys() {
        let (here, elsewhere) = (
            space(1, 0),
            KeySpace {
                installation_id: Uuid::from_u128(1),
                ..space(1, 0)
            },
        );
        assert_ne!(here.key("charge"), elsewhere.key("charge"));
    }
}

//! The hooks of a worker, and who is told how its attempts have ended.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::events::Speaker;
use crate::attempt::ended::EndedAttempt;
use crate::error::WorkerError;
use crate::hooks::{HeldHook, Hook, HookCounts, Wants};
use crate::task::registration::{HookBits, Registration};

/// How many hooks a worker may have.
const MOST: usize = 32;

/// The hooks of a worker, in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hooks(pub(crate) Vec<Arc<HeldHook>>);

impl Hooks {
    pub(crate) fn add(&mut self, hook: impl Hook) {
        self.0.push(Arc::new(HeldHook::new(hook)));
    }

    /// Returns the hooks at these places.
    pub(crate) fn at(&self, bits: u32) -> impl Iterator<Item = &Arc<HeldHook>> {
        let all = self.0.iter().enumerate();
        all.filter(move |(at, _)| bits & (1 << at) != 0)
            .map(|(_, hook)| hook)
    }

    pub(crate) fn counts(&self) -> Vec<HookCounts> {
        self.0.iter().map(|hook| hook.counts()).collect()
    }

    /// Asks which of them want a task type.
    pub(crate) fn wanting(&self, registration: &Registration) -> Result<HookBits, WorkerError> {
        let refuse = |problem| WorkerError::Setting {
            setting: "hook",
            problem,
        };
        if self.0.len() > MOST {
            let given = self.0.len();
            return Err(refuse(format!(
                "was given {given} times; a worker has {MOST} hooks at most"
            )));
        }
        let mut bits = HookBits::default();
        for (at, hook) in self.0.iter().enumerate() {
            let wants = hook.wants(registration.task_type).map_err(|panic| {
                let (name, task_type) = (&hook.name, registration.task_type);
                refuse(format!(
                    "`{name}` cannot say whether it wants `{task_type}`: {panic}"
                ))
            })?;
            if wants.contains(Wants::IN_TX) {
                bits.in_tx |= 1 << at;
            }
            if wants.contains(Wants::AFTER) {
                bits.after |= 1 << at;
            }
        }
        Ok(bits)
    }
}

/// What tells others of a worker's attempts.
#[derive(Debug, Default)]
pub(crate) struct Around {
    pub(crate) speaker: Speaker,
    /// One for each hook, once the worker runs.
    pub(crate) queues: Mutex<Vec<mpsc::Sender<Arc<EndedAttempt>>>>,
}

//! Telling hooks and subscribers how attempts have ended, once that is written.
//!
//! Each hook has a queue of its own with a bound, and a loop that calls it, so that neither the writing of outcomes nor
//! another hook waits for it. What does not fit is dropped and counted.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::events::Event;
use super::shared::Core;
use crate::attempt::ended::{AttemptOutcome, EndedAttempt};
use crate::attempt::verdict::Settlement;
use crate::hooks::HeldHook;
use crate::store::{ResultRow, Store};
use crate::task::registration::Registration;

/// How many attempts may wait for a hook.
const WAITING: usize = 10_000;

/// How long a worker that stops waits for hooks that have attempts to be told of.
const LAST_TOLD: Duration = Duration::from_secs(5);

impl Core {
    /// Tells whether somebody wants to know how an attempt at such a task ends.
    pub(crate) fn is_observed(&self, registration: &Registration) -> bool {
        registration.hooks.after != 0 || self.around.speaker.0.is_any()
    }

    /// Tells hooks and subscribers of an attempt whose outcome is written.
    pub(crate) fn tell(&self, ended: Arc<EndedAttempt>) {
        let hooks = self.registry.find(ended.task_type);
        let after = hooks.map_or(0, |registration| registration.hooks.after);
        if after != 0 {
            self.queue_for(after, &ended);
        }
        self.around.speaker.0.send(|| Event::AttemptEnded(ended));
    }

    fn queue_for(&self, after: u32, ended: &Arc<EndedAttempt>) {
        let queues = &self.around.queues;
        let queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, queue) in queues.iter().enumerate() {
            if after & (1 << at) == 0 {
                continue;
            }
            if queue.try_send(ended.clone()).is_err() {
                let hook = self.settings.hooks.at(1 << at);
                hook.for_each(|hook| hook.record_dropped(1));
            }
        }
    }

    /// Tells of attempts whose outcomes were written.
    pub(crate) fn tell_settled<'s>(&self, settlements: impl IntoIterator<Item = &'s Settlement>) {
        let ended = settlements.into_iter().filter_map(|it| it.ended.as_ref());
        ended.for_each(|ended| self.tell(ended.clone()));
    }

    /// Tells of attempts whose outcomes do not count. It asks which of them somebody has cancelled meanwhile: their worker
    /// need not have heard of it.
    pub(crate) async fn tell_lost(&self, store: &mut Store<'_>, lost: &[Arc<EndedAttempt>]) {
        let task_ids: Vec<i64> = lost.iter().map(|it| it.task_id).collect();
        let mut cancelled = Vec::new();
        let hand_on = |task_id, row: ResultRow| {
            if row.state == "cancelled" {
                cancelled.push(task_id);
            }
        };
        if let Err(error) = store.ended(&task_ids, hand_on).await {
            tracing::debug!(%error, "cannot see what became of tasks that were lost");
        }
        for ended in lost {
            let outcome = match cancelled.contains(&ended.task_id) {
                true => cancelled_by_operator(),
                false => AttemptOutcome::Lost,
            };
            self.tell(with_outcome(ended, outcome));
        }
    }
}

/// What became of a task that an operator has cancelled while it ran.
pub(crate) fn cancelled_by_operator() -> AttemptOutcome {
    AttemptOutcome::Cancelled {
        error: "an operator has cancelled the task".into(),
    }
}

/// Returns what is told of an attempt whose task came to another end than was decided.
pub(crate) fn with_outcome(ended: &EndedAttempt, outcome: AttemptOutcome) -> Arc<EndedAttempt> {
    Arc::new(EndedAttempt {
        outcome,
        ..ended.clone()
    })
}

/// The loops that call hooks.
#[derive(Debug)]
pub(crate) struct Tellers {
    loops: JoinSet<()>,
    done: CancellationToken,
}

impl Tellers {
    /// Starts a loop for each hook.
    pub(crate) fn start(core: &Core) -> Self {
        let (mut loops, done) = (JoinSet::new(), CancellationToken::new());
        let mut queues = Vec::new();
        for hook in &core.settings.hooks.0 {
            let (queue, waiting) = mpsc::channel(WAITING);
            queues.push(queue);
            let tells = tell_all(hook.clone(), waiting, done.clone());
            loops.spawn(tells.in_current_span());
        }
        *core
            .around
            .queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = queues;
        Self { loops, done }
    }

    /// Lets hooks be told of what waits for them, for a while, once nothing more comes.
    pub(crate) async fn stop(mut self, core: &Core) {
        self.done.cancel();
        let all_told = async { while self.loops.join_next().await.is_some() {} };
        let _ = timeout(LAST_TOLD, all_told).await;
        let queues = std::mem::take(
            &mut *core
                .around
                .queues
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for (hook, queue) in core.settings.hooks.0.iter().zip(&queues) {
            hook.record_dropped((queue.max_capacity() - queue.capacity()) as u64);
        }
    }
}

/// Tells a hook of one attempt after the other, until `done` and nothing waits.
async fn tell_all(
    hook: Arc<HeldHook>,
    mut waiting: mpsc::Receiver<Arc<EndedAttempt>>,
    done: CancellationToken,
) {
    loop {
        let ended = tokio::select! {
            biased;
            ended = waiting.recv() => ended,
            () = done.cancelled(), if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        };
        match ended {
            Some(ended) => hook.after(&ended).await,
            None => break,
        }
    }
}

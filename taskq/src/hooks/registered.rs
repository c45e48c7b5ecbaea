//! The hooks that every enqueue of the process calls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::PgConnection;

use super::enqueuing::Enqueuing;
use super::held::{HeldHook, HookCounts, Vetoed};
use super::hook::{Hook, Wants};
use crate::error::EnqueueError;

/// Whether there are any: one look for an enqueue where there are none.
static HAS_SOME: AtomicBool = AtomicBool::new(false);

static HOOKS: RwLock<Vec<Arc<HeldHook>>> = RwLock::new(Vec::new());

/// Has every enqueue of this process, of whatever thread, call a hook for the task types that it
/// [wants](Hook::wants) with [`Wants::ENQUEUE`], in the order in which hooks were registered. Call it when the program starts.
///
/// The enqueues are those of this crate: [`enqueue`](fn@crate::enqueue), [`enqueue_many`](crate::enqueue_many) and
/// [`enqueue_copy`](crate::enqueue_copy), which then inserts as `enqueue_many` does. A bare `insert`, the SQL function
/// `taskq.enqueue`, other programs, ticks of schedules, and operators who have tasks run again call no hook.
///
/// ```no_run
/// use sqlx::PgConnection;
/// use taskq::Hook;
/// use taskq::error::BoxError;
/// use taskq::hooks::{BoxFuture, Enqueuing, Wants, register};
///
/// /// Refuses mail to nobody.
/// struct NoEmptyMail;
///
/// impl Hook for NoEmptyMail {
///     fn wants(&self, task_type: &str) -> Wants {
///         match task_type {
///             "send_mail" => Wants::ENQUEUE,
///             _ => Wants::NOTHING,
///         }
///     }
///
///     fn enqueue_in_tx<'a>(
///         &'a self,
///         tasks: &'a mut Enqueuing<'_>,
///         _tx: &'a mut PgConnection,
///     ) -> BoxFuture<'a, Result<(), BoxError>> {
///         let is_empty = tasks.payloads().any(|it| it.get().contains(r#""to":"""#));
///         Box::pin(async move {
///             match is_empty {
///                 true => Err("mail needs somebody to go to".into()),
///                 false => Ok(()),
///             }
///         })
///     }
/// }
///
/// let _ = register(NoEmptyMail);
/// ```
pub fn register(hook: impl Hook) -> Registered {
    let hook = Arc::new(HeldHook::new(hook));
    let mut hooks = HOOKS.write().unwrap_or_else(PoisonError::into_inner);
    hooks.push(hook.clone());
    HAS_SOME.store(true, Ordering::Relaxed);
    Registered { hook }
}

/// A hook that enqueues call. Made by [`register`]; the hook stays registered when this is dropped.
#[derive(Debug)]
pub struct Registered {
    hook: Arc<HeldHook>,
}

impl Registered {
    /// Returns how often the hook has failed.
    pub fn counts(&self) -> HookCounts {
        self.hook.counts()
    }

    /// Has no further enqueue call the hook.
    pub fn unregister(self) {
        let mut hooks = HOOKS.write().unwrap_or_else(PoisonError::into_inner);
        hooks.retain(|hook| !Arc::ptr_eq(hook, &self.hook));
        HAS_SOME.store(!hooks.is_empty(), Ordering::Relaxed);
    }
}

/// Returns the hooks that want enqueues of a task type.
pub(crate) fn wanting(task_type: &'static str) -> Result<Vec<Arc<HeldHook>>, EnqueueError> {
    if !HAS_SOME.load(Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let hooks = HOOKS.read().unwrap_or_else(PoisonError::into_inner).clone();
    let mut wanting = Vec::new();
    for hook in hooks {
        match hook.wants(task_type) {
            Ok(wants) if wants.contains(Wants::ENQUEUE) => wanting.push(hook),
            Ok(_) => {}
            Err(panic) => return Err(vetoed(task_type, hook.record_veto(panic.into()))),
        }
    }
    Ok(wanting)
}

/// Asks hooks whether tasks may be enqueued.
pub(crate) async fn ask(
    hooks: &[Arc<HeldHook>],
    mut tasks: Enqueuing<'_>,
    tx: &mut PgConnection,
) -> Result<(), EnqueueError> {
    let declared = tasks.task_type;
    for hook in hooks {
        let asked = hook.enqueue_in_tx(&mut tasks, tx).await;
        asked.map_err(|veto| vetoed(declared.name, veto))?;
    }
    // They may have given metadata.
    tasks.options.check(declared.options)
}

fn vetoed(task_type: &'static str, veto: Vetoed) -> EnqueueError {
    EnqueueError::Vetoed {
        task_type,
        hook: veto.hook,
        source: veto.error,
    }
}

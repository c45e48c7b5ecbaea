//! Telling which handlers block their threads.
//!
//! Run by each worker on a thread of its own: where a handler blocks the only thread of a runtime, nothing else of the worker
//! goes on, and the log says it all the same. It looks every [`LOOK`] whether a handler is in the poll in which it was at the
//! last look. If the thread could not be started, nobody is told; nothing else depends on it. Each worker looks at its own
//! tasks. Others learn of it with the next heartbeat, which says more only where there is something to say.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::Error;
use tokio::runtime::Handle;
use tracing::{Span, dispatcher};
use uuid::Uuid;

use super::held::pulse::OnePoll;
use super::shared::Core;
use crate::store::Store;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(2);

/// For how long a handler may be in one poll that does not block its thread. It should be a hundredth of a second at the most.
const BLOCKED: Duration = Duration::from_secs(10);

/// How long a task has run that has the process of its transaction told, in time for those who ask after a minute.
const LONG: Duration = Duration::from_secs(20);

/// How long loops are silent that do not turn because nothing does.
const SILENT: Duration = Duration::from_secs(5);

/// Ends the thread when it is dropped.
pub(crate) struct Watch(#[expect(dead_code, reason = "its end is the message")] mpsc::Sender<()>);

/// A poll that was seen.
struct Seen {
    poll: OnePoll,
    since: Instant,
    is_told: bool,
}

/// Begins to look at the handlers of a worker.
pub(crate) fn begin(core: &Arc<Core>) -> Watch {
    let (sender, ended) = mpsc::channel();
    let core = Arc::downgrade(core);
    let runtime = Handle::current();
    let span = Span::current();
    let log = dispatcher::get_default(Clone::clone);
    let look = move || {
        dispatcher::with_default(&log, || {
            span.in_scope(|| look_until(&core, &runtime, &ended))
        })
    };
    let thread = thread::Builder::new().name("taskq watch".to_owned());
    if let Err(error) = thread.spawn(look) {
        tracing::warn!(%error, "no thread to watch handlers with: nobody is told of those that block their threads");
    }
    Watch(sender)
}

fn look_until(core: &Weak<Core>, runtime: &Handle, ended: &mpsc::Receiver<()>) {
    let mut seen = HashMap::new();
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LOOK) {
        let Some(core) = core.upgrade() else {
            return;
        };
        look(&core, &mut seen, Instant::now());
        if !seen.is_empty() {
            // The thread that is blocked may be the one that waited for sockets and timers, and the runtime wakes no other to do
            // that until it has something to run. Without it heartbeats would not come.
            runtime.spawn(async {});
        }
    }
}

fn look(core: &Core, seen: &mut HashMap<(Uuid, i64), Seen>, now: Instant) {
    let polls: HashMap<_, _> = core.held.polls().into_iter().collect();
    seen.retain(|key, seen| {
        let goes_on = polls.get(key) == Some(&seen.poll);
        if !goes_on
            && seen.is_told
            && let Some(task) = core.held.record_blocked(*key, None)
        {
            let blocked_for = now - seen.since;
            tracing::info!(
                task_type = task.task_type,
                task_id = task.task_id,
                ?blocked_for,
                "the handler blocks its thread no more"
            );
        }
        goes_on
    });
    for (key, poll) in polls {
        let seen = seen.entry(key).or_insert(Seen {
            poll,
            since: now,
            is_told: false,
        });
        let blocked_for = now - seen.since;
        if !seen.is_told && blocked_for >= BLOCKED {
            tell(core, key, seen, blocked_for);
        }
    }
}

/// Says that a handler blocks its thread.
fn tell(core: &Core, key: (Uuid, i64), seen: &mut Seen, blocked_for: Duration) {
    let Some(task) = core.held.record_blocked(key, Some((seen.poll, seen.since))) else {
        return;
    };
    seen.is_told = true;
    let silence = core.beats.silence(Instant::now());
    let stands_still = match silence > SILENT {
        true => "; nothing else of this worker goes on meanwhile, so its leases will run out",
        false => "",
    };
    tracing::warn!(
        task_type = task.task_type,
        task_id = task.task_id,
        thread = task.thread(),
        ?blocked_for,
        progress = core.notes.last_said(task.task_id),
        "the handler blocks its thread, and cannot be stopped while it does: such work belongs in `spawn_blocking`{stands_still}"
    );
}

/// Tells others which tasks block their threads or have run in a transaction for long, if any do or did when it was told last.
pub(crate) async fn write(core: &Core, store: &mut Store<'_>) -> Result<(), Error> {
    let watched = core.held.watched(LONG);
    if watched.is_empty() && !core.tells_of_watched.load(Ordering::Relaxed) {
        return Ok(());
    }
    store.write_watched(core.worker_id, &watched).await?;
    let tells = !watched.is_empty();
    core.tells_of_watched.store(tells, Ordering::Relaxed);
    Ok(())
}

//! What a handler can know of the attempt it is making.

pub(crate) mod backoff;
pub(crate) mod batch;
pub(crate) mod bounds;
pub(crate) mod delivery;
pub(crate) mod discarded;
pub(crate) mod ended;
pub(crate) mod group;
pub(crate) mod key;
pub(crate) mod lazy;
#[cfg(feature = "log")]
pub(crate) mod log;
pub(crate) mod metadata;
pub(crate) mod outcome;
pub(crate) mod panics;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod spread;
pub(crate) mod state;
pub(crate) mod tick;
#[cfg(feature = "otel")]
pub(crate) mod trace;
pub(crate) mod tx;
pub(crate) mod tx_handle;
pub(crate) mod verbs;
pub(crate) mod verdict;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::attempt::key::KeySpace;
use crate::attempt::metadata::Metadata;
use crate::attempt::progress::Says;
use crate::attempt::tick::Tick;
use crate::attempt::verbs::Wish;
use crate::error::AttemptError;

/// One execution of a task. A handler asks for it with an argument of the type `&Attempt`.
#[derive(Debug)]
pub struct Attempt {
    pub(crate) task_id: i64,
    pub(crate) task_type: &'static str,
    pub(crate) queue: Arc<str>,
    pub(crate) number: u16,
    pub(crate) max_attempts: u16,
    pub(crate) deadline: Instant,
    pub(crate) created_at: DateTime<Utc>,
    /// The id of the tables, which no others have.
    pub(crate) installation_id: Uuid,
    pub(crate) errors: Vec<AttemptError>,
    pub(crate) metadata: Metadata,
    pub(crate) cancellation: Cancellation,
    pub(crate) wish: Mutex<Option<Wish>>,
    /// For how long nothing of the task's key is to start.
    pub(crate) hold: Mutex<Option<Duration>>,
    /// Where it says how far it is.
    pub(crate) says: Says,
}

impl Attempt {
    /// Returns the id of the task, the same in every attempt. Other databases have tasks of the same id: a
    /// [`key`](Self::key) is made for what must differ from theirs.
    pub fn task_id(&self) -> i64 {
        self.task_id
    }

    /// Returns the idempotency key of one effect of this task, for whoever has that effect happen: a bank, a service, a
    /// mail server.
    ///
    /// It is the same in every attempt at this task, also after a crash, and differs between effects of other names, between
    /// tasks, and between databases. So whoever gets a key a second time knows that the effect has happened, or is under
    /// way. It is a UUID of version 5, made of a random id of the tables, the id and time with which the task was
    /// enqueued, and the name.
    ///
    /// ```
    /// # struct Bank; impl Bank { async fn charge(&self, _key: String, _cents: i64) -> Result<(), String> { Ok(()) } }
    /// use taskq::Attempt;
    ///
    /// #[taskq::task]
    /// async fn charge(bank: &Bank, attempt: &Attempt, cents: i64, fee: i64) -> Result<(), String> {
    ///     bank.charge(attempt.key("charge").to_string(), cents).await?;
    ///     bank.charge(attempt.key("fee").to_string(), fee).await
    /// }
    /// ```
    ///
    /// The payload is no part of it. What that means for a task that is edited, and what else holds, is in the
    /// [guide](crate::guide::fail#effects-that-happen-once).
    pub fn key(&self, effect: &str) -> Uuid {
        let space = KeySpace {
            installation_id: self.installation_id,
            task_id: self.metadata.first_id().unwrap_or(self.task_id),
            created_at: self.created_at,
        };
        space.key(effect)
    }

    /// Returns the task type, as its payload declares it. The row may say an alias.
    pub fn task_type(&self) -> &str {
        self.task_type
    }

    /// Returns the queue from which the task was claimed: that of its type, or the one that the enqueue said.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Returns the number of this attempt, from 1. A snooze and a hand-back use none.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Returns how many attempts the task has at most.
    pub fn max_attempts(&self) -> u16 {
        self.max_attempts
    }

    /// Returns how often the task was snoozed, if its type declares
    /// [`max_snoozes`](crate::handler::Declaration::max_snoozes); otherwise nobody counts, and it is zero.
    pub fn snoozes(&self) -> u64 {
        bounds::snoozes(&self.metadata)
    }

    /// Tells whether a failure now would discard the task.
    pub fn is_last(&self) -> bool {
        self.number >= self.max_attempts
    }

    /// Returns when the task was enqueued, by the clock of the database.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// Returns when this attempt times out, by this process's monotonic clock.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns how the earlier attempts failed, oldest first; the last fifty.
    pub fn previous_errors(&self) -> &[AttemptError] {
        &self.errors
    }

    /// Returns a value that the enqueue gave beside the payload, under this name: see
    /// [`Enqueue::metadata`](crate::Enqueue::metadata).
    pub fn metadata(&self, name: &str) -> Option<&Value> {
        self.metadata.get(name)
    }

    /// Returns the tick of the schedule that the task was enqueued for; `None` if no schedule did it.
    ///
    /// What a tick is to report about goes by its nominal time, not by the clock: a task may start later, and be
    /// attempted again.
    pub fn tick(&self) -> Option<Tick> {
        Tick::of(&self.metadata, self.created_at)
    }

    /// Says how far the attempt is: a fraction from 0 to 1, and in a few words what it does.
    ///
    /// Operators see it: [`show`](crate::operate::Operator::show), the task's page, and [`Handle::progress`](crate::Handle::progress).
    /// A fraction beyond its bounds is the nearest of them; one that is no number ([`f64::NAN`]) says that nobody knows, and
    /// only the text is shown. A text is cut after 400 bytes. The values of [secret fields](crate::guide::declare#keep-values-secret) are
    /// `***` in it.
    ///
    /// The call stores the text and returns, so it may be made as often as you like. The worker writes what its attempts have
    /// said last, all in one statement, once a second at the most. It does so on a connection of its own, never in the
    /// handler's transaction: others see it before that commits, and it stays where that is rolled back. A process that is
    /// killed loses what was said within the last second. So there is no promise that a value arrives, and a handler must not
    /// read its own progress to know where to go on.
    ///
    /// What was said stays with the task while it waits for its next attempt, and when it is dead or kept; it goes with a
    /// task that completes and is not kept.
    ///
    /// ```
    /// #[taskq::task]
    /// async fn resize(attempt: &taskq::Attempt, images: Vec<i64>) {
    ///     for (done, image) in images.iter().enumerate() {
    ///         attempt.progress(done as f64 / images.len() as f64, format!("image {image}"));
    ///         // …
    ///     }
    /// }
    /// ```
    pub fn progress(&self, fraction: f64, said: impl Into<String>) {
        (self.says).say(self.task_id, self.number, fraction, said.into());
    }

    /// Tells whether the handler is asked to come to an end: its worker has begun to stop, or an operator has
    /// [cancelled](crate::operate::Operator::cancel) the task.
    ///
    /// It may go on for the grace period, and then is dropped; if the task is cancelled, for half a second. A handler that can leave off
    /// in the middle may save its progress and [`snooze`](Self::snooze).
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.token().is_cancelled()
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the future may be dropped and made again.
    pub async fn cancelled(&self) {
        self.cancellation.token().cancelled().await;
    }

    /// Does what [`outcome::retry_in`](crate::outcome::retry_in) does, for an error type that cannot carry
    /// it, such as `String`.
    ///
    /// Like the other three verbs here it decides about this attempt whatever the handler then
    /// returns, and the last call counts. The handler's writes to its transaction are rolled back.
    pub fn retry_in(&self, delay: Duration) {
        self.wish_for(Wish::RetryIn(delay));
    }

    /// Does what [`outcome::snooze`](crate::outcome::snooze) does.
    pub fn snooze(&self, delay: Duration) {
        self.wish_for(Wish::Snooze(delay));
    }

    /// Snoozes, and has nothing start of the task's key meanwhile, in any worker: for a service that says `429`, and when
    /// to come again. Nobody is charged.
    ///
    /// The key is that of the type's [limit](crate::limit); if its limit is none by key, no task of the type starts. What
    /// runs already goes on. A type without any limit cannot be held: then this is a [`snooze`](Self::snooze), and a
    /// warning in the log.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # struct Reply { status: u16 }
    /// # async fn ask(_tenant_id: i64) -> Reply { Reply { status: 429 } }
    /// #[taskq::task(concurrency(5, key = tenant_id))]
    /// async fn call_api(attempt: &taskq::Attempt, tenant_id: i64) {
    ///     if ask(tenant_id).await.status == 429 {
    ///         attempt.hold_key(Duration::from_secs(30));
    ///     }
    /// }
    /// ```
    pub fn hold_key(&self, time: Duration) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
        self.wish_for(Wish::Snooze(time));
    }

    /// Does what [`outcome::discard`](crate::outcome::discard) does.
    pub fn discard(&self, why: impl Into<String>) {
        self.wish_for(Wish::Discard(why.into()));
    }

    /// Does what [`outcome::cancel`](crate::outcome::cancel) does.
    pub fn cancel(&self, why: impl Into<String>) {
        self.wish_for(Wish::Cancel(why.into()));
    }

    fn wish_for(&self, wish: Wish) {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = Some(wish);
    }

    pub(crate) fn take_hold(&self) -> Option<Duration> {
        self.hold
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    pub(crate) fn take_wish(&self) -> Option<Wish> {
        self.wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// What asks a handler to come to an end: made only when somebody looks, because most do not.
#[derive(Debug)]
pub(crate) struct Cancellation {
    stopping: CancellationToken,
    own: OnceLock<CancellationToken>,
}

impl Cancellation {
    pub(crate) fn of(stopping: &CancellationToken) -> Self {
        Self {
            stopping: stopping.clone(),
            own: OnceLock::new(),
        }
    }

    /// Asks the handler to come to an end.
    pub(crate) fn ask(&self) {
        self.token().cancel();
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        self.own.get_or_init(|| self.stopping.child_token())
    }
}

/// The end of an attempt, however it comes: work that the handler has spawned learns of it.
pub(crate) struct Ending(pub(crate) Arc<Attempt>);

impl Drop for Ending {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) > 1 {
            self.0.cancellation.token().cancel();
            self.0.says.end();
        }
    }
}

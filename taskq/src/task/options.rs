//! What a task type and an enqueue say of a task, and which values are allowed.

use std::time::Duration;

use super::expiry::{self, EXPIRES};
use super::limit::{Concurrency, Rate};
use super::range::{MAX_DELAY, refuse};
use super::secret::SECRET;
use super::sequence::Sequence;
use super::start::Start;
use super::unique::{Unique, UniqueOptions};
use crate::attempt::metadata::Metadata;
#[cfg(feature = "encryption")]
use crate::cipher::ENCRYPTED;
use crate::defaults;
use crate::error::EnqueueError;

/// The longest name of a queue or a task type, in bytes. The tables have the same limit.
pub(crate) const MAX_NAME_LENGTH: usize = 200;

/// What a task type says of its tasks, as [`Payload::OPTIONS`](crate::Payload::OPTIONS).
///
/// `#[task]` and [`derive(taskq::Payload)`](macro@crate::Payload) write it from their options, and an
/// `impl Payload` by hand in the same words:
///
/// ```
/// use taskq::handler::TaskOptions;
///
/// const OPTIONS: TaskOptions = TaskOptions::new().queue("mail").priority(-5).max_attempts(5);
/// assert_eq!(OPTIONS.queue, "mail");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskOptions {
    /// The queue that tasks are put in unless an enqueue names another.
    pub queue: &'static str,
    /// The priority of tasks unless an enqueue names another. Smaller runs earlier.
    pub priority: i16,
    /// How often a task is attempted at most, unless an enqueue says otherwise.
    pub max_attempts: u16,
    /// The version of the JSON that [`Payload::encode`](crate::Payload::encode) writes, written beside it.
    pub version: u16,
    /// How many versions before that one [`Payload::decode`](crate::Payload::decode) still reads.
    pub older_versions: u16,
    /// Whether what the handler returns is kept: see [`KeepsResult`](crate::handler::KeepsResult).
    pub keeps_result: bool,
    /// Of which of its tasks one at a time may be there, if of any.
    pub unique: Option<Unique>,
    /// For how long after it is due a task is worth starting; `None` for ever.
    pub expires: Option<Duration>,
    /// How many of its tasks run at once over all workers, if that is limited.
    pub concurrency: Option<Concurrency>,
    /// How many of its tasks start in a time over all workers, if that is limited.
    pub rate: Option<Rate>,
    /// Of which of its tasks one runs at a time, in the order in which they were enqueued, if of any.
    pub sequence: Option<Sequence>,
    /// The fields that make the keys which take turns, if any do.
    pub fair: Option<&'static [&'static str]>,
    /// The fields of the payload's JSON whose values are shown to nobody.
    pub secret: &'static [&'static str],
    /// The fields of the payload's JSON that are stored encrypted.
    #[cfg(feature = "encryption")]
    pub encrypted: &'static [&'static str],
}

impl TaskOptions {
    /// Returns what holds where nothing is said.
    pub const fn new() -> Self {
        Self {
            queue: defaults::QUEUE,
            priority: defaults::PRIORITY,
            max_attempts: defaults::MAX_ATTEMPTS,
            version: 1,
            older_versions: 0,
            keeps_result: false,
            unique: None,
            expires: None,
            concurrency: None,
            rate: None,
            sequence: None,
            fair: None,
            secret: &[],
            #[cfg(feature = "encryption")]
            encrypted: &[],
        }
    }

    /// Sets the queue that tasks are put in.
    pub const fn queue(mut self, queue: &'static str) -> Self {
        self.queue = queue;
        self
    }

    /// Sets the priority. Smaller runs earlier.
    pub const fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how often a task is attempted at most; at least 1.
    pub const fn max_attempts(mut self, max_attempts: u16) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Sets the version of the payload, from 1 on. It rises when rows that wait would not decode
    /// otherwise. A worker claims no row that is newer than what it knows.
    pub const fn version(mut self, version: u16) -> Self {
        self.version = version;
        self
    }

    /// Sets how many versions before the newest are still read: with version 3 and 1 older one, versions 2
    /// and 3.
    pub const fn older_versions(mut self, older_versions: u16) -> Self {
        self.older_versions = older_versions;
        self
    }

    /// Says that what the handler returns is kept: see [`KeepsResult`](crate::handler::KeepsResult).
    pub const fn keeps_result(mut self) -> Self {
        self.keeps_result = true;
        self
    }

    /// Says that one task of each key may be there.
    pub const fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Says for how long after it is due a task is worth starting. One that has not started by then, or waits for
    /// another attempt, is not run: it goes to `taskq.dead` as `expired`.
    pub const fn expires(mut self, expires: Duration) -> Self {
        self.expires = Some(expires);
        self
    }

    /// Returns the fields that make the key of a task, where the type has a limit by key, a sequence or fair turns.
    pub(crate) fn limit_fields(&self) -> Option<&'static [&'static str]> {
        let by_concurrency = self.concurrency.and_then(|it| it.key);
        let by_rate = self.rate.and_then(|it| it.key);
        self.sequence
            .map(|it| it.key)
            .or(by_concurrency)
            .or(by_rate)
            .or(self.fair)
    }

    /// Sets how many tasks run at once over all workers.
    pub const fn concurrency(mut self, concurrency: Concurrency) -> Self {
        self.concurrency = Some(concurrency);
        self
    }

    /// Sets how many tasks start in a time over all workers.
    pub const fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Says that tasks of one key run one after the other, in the order in which they were enqueued.
    pub const fn sequence(mut self, sequence: Sequence) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// Says that the keys of tasks, which these fields of the payload's JSON make, take turns: of each key a claim
    /// takes as many tasks as the key's weight is, then of the next. `#[task(fair = tenant_id)]` and
    /// `#[task(fair(tenant_id, region))]` write it. A weight is 1, unless an operator says another:
    /// [`Operator::weight`](crate::operate::Operator::weight).
    pub const fn fair(mut self, fields: &'static [&'static str]) -> Self {
        self.fair = Some(fields);
        self
    }

    /// Says which fields of the payload's JSON are secret: whoever looks at a task sees `***` in their place, and errors of
    /// its handler do not quote them. `#[secret]` on an argument writes it, and `#[taskq(secret)]` on a field. The table
    /// has the values in clear.
    pub const fn secret(mut self, fields: &'static [&'static str]) -> Self {
        self.secret = fields;
        self
    }

    /// Says which fields of the payload's JSON are stored encrypted, and are [secret](Self::secret) too: see
    /// [`encryption`](crate::encryption). `#[encrypted]` on an argument writes both, and `#[taskq(encrypted)]` on a field.
    #[cfg(feature = "encryption")]
    pub const fn encrypted(mut self, fields: &'static [&'static str]) -> Self {
        self.encrypted = fields;
        self
    }

    /// Returns what is wrong with making a key of these fields, `None` being the whole payload: keys are shown.
    pub(crate) fn tells_secret(&self, key: Option<&[&str]>) -> Option<String> {
        let first = self.secret.first()?;
        match key {
            None => Some(format!(
                "would be made of `{first}` too, which is secret: name the fields that make the key"
            )),
            Some(key) => {
                let field = key.iter().find(|field| self.secret.contains(field))?;
                Some(format!(
                    "is made of `{field}`, which is secret, and keys are shown: name other fields"
                ))
            }
        }
    }

    /// Returns an encrypted field that is not secret, and so would be quoted in errors.
    #[cfg(feature = "encryption")]
    pub(crate) fn shows_encrypted(&self) -> Option<&'static str> {
        let mut encrypted = self.encrypted.iter();
        encrypted.find(|it| !self.secret.contains(it)).copied()
    }

    /// Returns the oldest version that is read.
    pub const fn oldest_version(&self) -> u16 {
        self.version.saturating_sub(self.older_versions)
    }
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What an enqueue says of one task. What it leaves open, the task type says.
#[derive(Debug, Clone, Default)]
pub(crate) struct EnqueueOptions {
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<i16>,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) start: Start,
    pub(crate) expires: Option<Duration>,
    pub(crate) metadata: Metadata,
    /// The id of the group of which the task is a member.
    pub(crate) group: Option<i64>,
    /// Boxed, for few say any of it.
    pub(crate) unique: Option<Box<UniqueOptions>>,
}

impl EnqueueOptions {
    /// Returns what holds of many tasks of a type that are enqueued at once.
    pub(crate) fn of_many(declared: &TaskOptions) -> Self {
        let mut options = Self::default();
        options.write_secret(declared);
        options
    }

    pub(crate) fn check(&self, declared: &TaskOptions) -> Result<(), EnqueueError> {
        let queue = self.queue.as_deref().unwrap_or(declared.queue);
        if let Some(problem) = name_problem(queue) {
            return Err(refuse("queue", problem));
        }
        if declared.sequence.is_some() && self.priority.is_some_and(|it| it != declared.priority) {
            let problem = "is that of the type, since its tasks run in the order in which they were enqueued: leave it out";
            return Err(refuse("priority", problem.into()));
        }
        if self.max_attempts.unwrap_or(declared.max_attempts) == 0 {
            return Err(refuse("max_attempts", "must be at least 1".into()));
        }
        if matches!(self.start, Start::After(delay) if delay > MAX_DELAY) {
            return Err(refuse("delay", "must be at most a hundred years".into()));
        }
        if let Some(expires) = self.expires.or(declared.expires)
            && (expires.is_zero() || expires > MAX_DELAY)
        {
            let problem = "must be longer than zero, and at most a hundred years";
            return Err(refuse("expires", problem.into()));
        }
        #[cfg(feature = "encryption")]
        if let Some(field) = declared.shows_encrypted() {
            let problem =
                format!("name `{field}`, which is not secret: name it in `.secret(…)` too");
            return Err(refuse("encrypted", problem));
        }
        if let Some(problem) = self.metadata.problem() {
            return Err(refuse("metadata", problem));
        }
        if self.busy_after().is_some_and(|wait| wait > MAX_DELAY) {
            return Err(refuse(
                "busy_after",
                "must be at most a hundred years".into(),
            ));
        }
        match self.unique(declared) {
            Some(unique) => {
                let is_of_payload = self.unique_key().is_none();
                let told = is_of_payload.then(|| declared.tells_secret(unique.fields));
                if let Some(problem) = told.flatten() {
                    return Err(refuse("unique", problem));
                }
                unique.check(self.unique_key())
            }
            None if self.busy_after().is_some() => {
                let problem = "is for a task with a key: say `.unique(…)` or `.unique_key(…)`, or leave it out";
                Err(refuse("busy_after", problem.into()))
            }
            None => Ok(()),
        }
    }

    /// Writes down when the task expires, where a worker would not know.
    pub(crate) fn write_expiry(&mut self, declared: &TaskOptions) {
        if let Some(expiry) = expiry::written(self.expires, declared.expires, self.start) {
            self.metadata.set(EXPIRES.to_owned(), expiry);
        }
    }

    /// Writes down which fields are secret, for those who show the task and do not know its type, and that some are
    /// encrypted.
    pub(crate) fn write_secret(&mut self, declared: &TaskOptions) {
        if !declared.secret.is_empty() {
            self.metadata.set(SECRET.to_owned(), declared.secret.into());
        }
        #[cfg(feature = "encryption")]
        if !declared.encrypted.is_empty() {
            self.metadata.set(ENCRYPTED.to_owned(), true.into());
        }
    }

    /// Returns of which tasks one at a time may be there, if of any.
    pub(crate) fn unique(&self, declared: &TaskOptions) -> Option<Unique> {
        match &self.unique {
            None => declared.unique,
            Some(said) => said.over(declared.unique),
        }
    }

    /// Returns how long it waits for a transaction that has the key, if not for as long as that is open.
    pub(crate) fn busy_after(&self) -> Option<Duration> {
        self.unique.as_ref()?.busy_after
    }

    /// Returns the key that was given.
    pub(crate) fn unique_key(&self) -> Option<&str> {
        self.unique.as_ref()?.key.as_deref()
    }
}

/// Says what is wrong with the name of a queue or task type, if anything.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("must not be empty".into())
    } else if name.len() > MAX_NAME_LENGTH {
        Some(format!(
            "must be at most {MAX_NAME_LENGTH} bytes long, not {}",
            name.len()
        ))
    } else if name.chars().any(char::is_control) {
        Some("must not contain control characters".into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_neither_empty_nor_long_nor_unprintable() {
        assert_eq!(name_problem("mail"), None);
        assert_eq!(name_problem("e-mail.send/välkommen"), None);
        assert!(name_problem("").is_some());
        assert!(name_problem(&"x".repeat(201)).is_some());
        assert!(name_problem("mail\n").is_some());
    }
}

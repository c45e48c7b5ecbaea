//! The handlers of a worker, by the names that rows may carry.

use std::collections::BTreeMap;

#[cfg(feature = "cron")]
use serde_json::value::RawValue;

use crate::attempt::delivery::Delivery;
use crate::attempt::state::States;
#[cfg(feature = "cron")]
use crate::error::error_text;
use crate::error::{MissingState, WorkerError};
use crate::task::batch::BatchBounds;
use crate::task::declaration::Order;
use crate::task::keep::DeclaredKeeps;
use crate::task::limit::DeclaredLimit;
use crate::task::options::name_problem;
use crate::task::registration::{HookBits, Registration};
#[cfg(feature = "cron")]
use crate::task::secret::masked;
use crate::task::unique::Until;

/// How unlike a known name a waiting one may be to be taken for a misspelling of it.
const SIMILAR: f64 = 0.8;

/// Every task type that a worker can run.
#[derive(Debug)]
pub(crate) struct Registry {
    handlers: BTreeMap<&'static str, Registration>,
}

impl Registry {
    /// Puts handlers in order, and refuses two that go by one name.
    pub(crate) fn new(
        registrations: impl IntoIterator<Item = Registration>,
    ) -> Result<Self, WorkerError> {
        let mut handlers: BTreeMap<&'static str, Registration> = BTreeMap::new();
        for registration in registrations {
            let aliases = registration.declaration.aliases.iter().copied();
            for name in std::iter::once(registration.task_type).chain(aliases) {
                if let Some(problem) = name_problem(name) {
                    return Err(WorkerError::TaskTypeName {
                        name,
                        place: registration.place(),
                        problem,
                    });
                }
                if let Some(other) = handlers.insert(name, registration) {
                    return Err(WorkerError::DuplicateTaskType {
                        name,
                        first: other.place(),
                        second: registration.place(),
                    });
                }
            }
        }
        Ok(Self { handlers })
    }

    /// Notes of each handler which hooks want its tasks.
    pub(crate) fn note_hooks(
        &mut self,
        wanting: impl Fn(&Registration) -> Result<HookBits, WorkerError>,
    ) -> Result<(), WorkerError> {
        self.handlers.values_mut().try_for_each(|it| {
            it.hooks = wanting(it)?;
            Ok(())
        })
    }

    /// Requires the state of every handler.
    pub(crate) fn require_states(&self, states: &States) -> Result<(), WorkerError> {
        let mut missing = Vec::new();
        for (name, registration) in self
            .handlers
            .iter()
            .filter(|(name, it)| **name == it.task_type)
        {
            for requirement in registration.declaration.states {
                if !states.satisfies(name, requirement, registration.batch.is_some()) {
                    missing.push(MissingState {
                        task_type: name,
                        place: registration.place(),
                        state: requirement.name(),
                        why_none: requirement.why_none(),
                    });
                }
            }
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(WorkerError::MissingState(missing)),
        }
    }

    /// Returns the schedules that handlers declare, by their names, with what the tables are told of them. Refuses those
    /// that cannot be followed.
    #[cfg(feature = "cron")]
    pub(crate) fn schedules(&self) -> Result<BTreeMap<String, Box<RawValue>>, WorkerError> {
        let mut schedules = BTreeMap::new();
        for handler in self.handlers() {
            let task_type = handler.task_type;
            for schedule in handler.declaration.schedules {
                let name = schedule.name.unwrap_or(task_type);
                let refuse = |problem| WorkerError::Schedule {
                    name: name.to_owned(),
                    place: handler.place(),
                    problem,
                };
                let definition = schedule.definition(task_type, &handler.options);
                let definition = definition.map_err(|error| refuse(error.to_string()))?;
                let version = Some(handler.options.version);
                let payload = schedule
                    .read_payload()
                    .map_err(|error| refuse(error.to_string()))?;
                (handler.decode)(&payload, version).map_err(|error| {
                    refuse(format!(
                        "its payload `{}` does not fit: {}",
                        masked(handler.options.secret, &payload)
                            .as_ref()
                            .unwrap_or(&payload)
                            .get(),
                        error_text(&error)
                    ))
                })?;
                if schedules.insert(name.to_owned(), definition).is_some() {
                    return Err(refuse(
                        "another schedule has this name: give one of them another, by `.name(…)`"
                            .into(),
                    ));
                }
            }
        }
        Ok(schedules)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// Returns each handler once, by its name.
    #[cfg(any(feature = "cli", feature = "cron", feature = "dashboard"))]
    pub(crate) fn handlers(&self) -> impl Iterator<Item = &Registration> {
        let by_name = self.handlers.iter();
        by_name
            .filter(|(name, it)| **name == it.task_type)
            .map(|(_, it)| it)
    }

    /// Requires keys where fields are encrypted, and that those are secret too.
    #[cfg(feature = "encryption")]
    pub(crate) fn require_keys(&self, there_are_some: bool) -> Result<(), WorkerError> {
        for it in self.handlers.values() {
            let options = &it.options;
            let problem = match options.shows_encrypted() {
                Some(field) => format!("`{field}` is encrypted and not secret: name it in `.secret(…)` too"),
                None if !options.encrypted.is_empty() && !there_are_some => {
                    "there are no keys: call `taskq::encryption::install`, or give the worker some by `.keys(…)`".into()
                }
                None => continue,
            };
            return Err(WorkerError::Encryption {
                task_type: it.task_type,
                place: it.place(),
                problem,
            });
        }
        Ok(())
    }

    /// Requires that tasks which run in no order have no keys: of each key the oldest starts first.
    pub(crate) fn require_orders(&self) -> Result<(), WorkerError> {
        let random = self.handlers.values();
        let mut random = random.filter(|it| it.declaration.order == Order::Random);
        if let Some(it) = random.find(|it| it.options.limit_fields().is_some()) {
            let way_out = match (it.options.sequence, it.options.fair) {
                (Some(_), _) => "`order = \"random\"` or `sequence`",
                (_, Some(_)) => "`order = \"random\"` or `fair`",
                _ => "`order = \"random\"`, or limit the task type without `key`",
            };
            return Err(it.limit_problem(format!(
                "of each key the oldest task starts first; leave out {way_out}"
            )));
        }
        self.handlers
            .values()
            .try_for_each(Registration::require_one_key)
    }

    /// Returns the limits that the handlers declare, by task type.
    pub(crate) fn limits(&self) -> BTreeMap<&'static str, Vec<DeclaredLimit>> {
        let own = self.handlers.iter();
        let own = own.filter(|(name, it)| **name == it.task_type);
        own.map(|(name, it)| (*name, it.limits()))
            .filter(|(_, limits)| !limits.is_empty())
            .collect()
    }

    /// Returns the secret fields of the handlers' payloads, each beside the name that a row may carry.
    pub(crate) fn secrets(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let handlers = self.handlers.iter();
        handlers
            .flat_map(|(name, it)| it.options.secret.iter().map(|field| (*name, *field)))
            .unzip()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Registration> {
        self.handlers.get(name)
    }

    /// Returns all names of the type of this name, its own in front.
    pub(crate) fn names_of(&self, name: &str) -> Vec<&'static str> {
        let names = self.find(name).map(|it| {
            let aliases = it.declaration.aliases.iter().copied();
            std::iter::once(it.task_type).chain(aliases).collect()
        });
        names.unwrap_or_default()
    }

    /// Returns every name that a row may carry, aliases included.
    pub(crate) fn names(&self) -> Vec<String> {
        self.handlers
            .keys()
            .map(|name| (*name).to_owned())
            .collect()
    }

    /// Returns every name that a row may carry, each with the newest payload version that its handler decodes.
    pub(crate) fn known(&self) -> Vec<(String, u16)> {
        self.handlers
            .iter()
            .map(|(name, it)| ((*name).to_owned(), it.options.version))
            .collect()
    }

    /// Tells whether a type asks for its completed tasks to be kept.
    pub(crate) fn keeps_some(&self) -> bool {
        self.handlers
            .values()
            .any(|it| it.declaration.keeps_completed(false))
    }

    /// Returns for how long the finished tasks of the types are kept, by all names that rows may carry.
    pub(crate) fn keeps(&self) -> DeclaredKeeps {
        let mut keeps = DeclaredKeeps::default();
        for (name, it) in &self.handlers {
            keeps.add(name, &it.declaration.keep);
        }
        keeps
    }

    /// Returns each task type with the queue that it declares.
    pub(crate) fn declared_queues(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.handlers
            .iter()
            .filter(|(name, it)| **name == it.task_type)
            .map(|(name, it)| (*name, it.options.queue))
    }

    /// Returns the names whose handlers complete their tasks in their own transactions, or may.
    pub(crate) fn transactional_names(&self) -> Vec<String> {
        self.handlers
            .iter()
            .filter(|(_, it)| it.declaration.delivery.has_transaction())
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }

    /// Tells whether attempts may need connections.
    pub(crate) fn uses_connections(&self) -> bool {
        let mut handlers = self.handlers.values();
        handlers.any(|it| it.declaration.delivery.has_transaction() || it.hooks.in_tx != 0)
    }

    /// Returns the names whose tasks have a lease each, because their handlers complete them in their own transactions, or
    /// may. A batch leaves its leases in one statement, and no other has them locked for longer than that.
    pub(crate) fn names_with_own_leases(&self) -> Vec<String> {
        let names = self.handlers.iter();
        let names =
            names.filter(|(_, it)| it.declaration.delivery.has_transaction() && it.batch.is_none());
        names.map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Returns the handlers of many payloads, each with all names of its type, and whether it completes its tasks in its own
    /// transaction.
    pub(crate) fn batches(&self) -> impl Iterator<Item = (Vec<&'static str>, BatchBounds, bool)> {
        let own = self.handlers.iter();
        let own = own.filter(|(name, it)| **name == it.task_type);
        own.filter_map(|(name, it)| {
            let has_transaction = it.declaration.delivery.has_transaction();
            Some((self.names_of(name), it.batch?.bounds, has_transaction))
        })
    }

    /// Returns the names whose tasks have keys of which one runs at a time.
    pub(crate) fn names_in_turns(&self) -> impl Iterator<Item = &'static str> {
        let named = self.handlers.iter();
        let named = named.filter(|(_, it)| {
            let unique = it.options.unique;
            unique.is_some_and(|unique| unique.until == Until::Again)
        });
        named.map(|(name, _)| *name)
    }

    /// Returns the names whose tasks run in no order.
    pub(crate) fn names_by_chance(&self) -> Vec<String> {
        self.handlers
            .iter()
            .filter(|(_, it)| it.declaration.order == Order::Random)
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }

    /// Tells whether a handler that is in a transaction for as long as it runs declares this queue.
    pub(crate) fn is_transactional_queue(&self, queue: &str) -> bool {
        self.handlers.values().any(|it| {
            it.options.queue == queue && it.declaration.delivery == Delivery::Transactional
        })
    }

    /// Returns the known name that an unknown one looks most like.
    pub(crate) fn similar_to(&self, unknown: &str) -> Option<&'static str> {
        most_similar(unknown, self.handlers.keys().copied())
    }
}

/// Returns the name that an unknown one looks most like.
pub(crate) fn most_similar<'a>(
    unknown: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let unknown = unknown.to_lowercase();
    names
        .map(|name| (name, strsim::jaro_winkler(&name.to_lowercase(), &unknown)))
        .filter(|(_, similarity)| *similarity >= SIMILAR)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(name, _)| name)
}

impl Registration {
    /// Returns the limits that the handler declares.
    pub(crate) fn limits(&self) -> Vec<DeclaredLimit> {
        let (options, aliases) = (&self.options, self.declaration.aliases);
        let concurrency = options.concurrency.map(|it| it.declared(aliases));
        let rate = options.rate.map(|it| it.declared(aliases));
        let sequence = options.sequence.map(|it| it.declared(aliases));
        let fair = options.fair.map(|it| DeclaredLimit::of_fair(it, aliases));
        let limits = concurrency.into_iter().chain(rate);
        limits.chain(sequence).chain(fair).collect()
    }

    /// Requires that what is said of keys is about one, which `#[task]` says of what it sees itself.
    fn require_one_key(&self) -> Result<(), WorkerError> {
        let key = self.options.limit_fields();
        if let Some(problem) = key.and_then(|key| self.options.tells_secret(Some(key))) {
            return Err(self.limit_problem(format!("its key {problem}")));
        }
        let by_concurrency = self.options.concurrency.and_then(|it| it.key);
        let by_rate = self.options.rate.and_then(|it| it.key);
        if let Some(fair) = self.options.fair {
            if self.options.sequence.is_some() {
                let problem = "of each key of a sequence one task runs at a time, so none needs turns; leave out `sequence` or `fair`";
                return Err(self.limit_problem(problem.to_owned()));
            }
            let mut others = by_concurrency.into_iter().chain(by_rate);
            if others.any(|key| key != fair) {
                let problem = "a task has one key; name the same fields for the limit and the fair turns, or limit the task type without `key`";
                return Err(self.limit_problem(problem.to_owned()));
            }
        }
        let Some(sequence) = self.options.sequence else {
            return Ok(());
        };
        if by_concurrency.is_some() {
            let problem = "of each key of a sequence one task runs at a time; leave out the concurrency by key, or limit the task type without `key`";
            return Err(self.limit_problem(problem.to_owned()));
        }
        if by_rate.is_some_and(|key| key != sequence.key) {
            let problem = "a task has one key; name the same fields for the rate and the sequence, or limit the rate without `key`";
            return Err(self.limit_problem(problem.to_owned()));
        }
        Ok(())
    }

    fn limit_problem(&self, problem: String) -> WorkerError {
        WorkerError::Limit {
            task_type: self.task_type,
            place: self.place(),
            problem,
        }
    }

    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.declaration.file, self.declaration.line)
    }
}

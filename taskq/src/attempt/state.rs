//! Worker state: one value per `&T` that handlers ask for, and what one call of a handler is given.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::sync::Arc;

use foldhash::HashMap;

use crate::attempt::Attempt;
use crate::attempt::batch::Batch;
use crate::attempt::tx_handle::{GivenTx, TxHandle};

/// The values that handlers borrow, one of each type.
#[derive(Default, Clone)]
pub(crate) struct States {
    // Each value is an `Arc<T>`, under the `TypeId` of `T`, so that `T` may be a trait object.
    values: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    /// Those that handlers of one task type borrow in the place of these.
    own: HashMap<(&'static str, TypeId), Arc<dyn Any + Send + Sync>>,
    /// A state that was given for a task type whose handler does not borrow it.
    unwanted: Option<String>,
}

impl States {
    pub(crate) fn insert<T: ?Sized + Send + Sync + 'static>(&mut self, value: Arc<T>) {
        self.values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// Adds a value for the handlers of one task type, which borrow these states.
    pub(crate) fn insert_for<T: ?Sized + Send + Sync + 'static>(
        &mut self,
        task_type: &'static str,
        borrowed: &[StateRequirement],
        value: Arc<T>,
    ) {
        let state = StateRequirement::of::<T>();
        if !borrowed.iter().any(|it| it.type_id == state.type_id) {
            self.unwanted = Some(format!(
                "gives task `{task_type}` the state `{}`, which its handler does not borrow: it borrows {}",
                state.name(),
                named(borrowed)
            ));
        }
        self.own.insert((task_type, state.type_id), Arc::new(value));
    }

    /// Returns what is wrong with what was given for single task types.
    pub(crate) fn unwanted(&self) -> Option<&str> {
        self.unwanted.as_deref()
    }

    pub(crate) fn satisfies(
        &self,
        task_type: &'static str,
        requirement: &StateRequirement,
        is_of_many: bool,
    ) -> bool {
        let StateRequirement { type_id, .. } = *requirement;
        let made = match is_of_many {
            true => TypeId::of::<Batch>(),
            false => TypeId::of::<Attempt>(),
        };
        type_id == made
            || self.values.contains_key(&type_id)
            || self.own.contains_key(&(task_type, type_id))
    }

    pub(crate) fn find<T: ?Sized + Send + Sync + 'static>(
        &self,
        task_type: &'static str,
    ) -> Option<&Arc<T>> {
        let type_id = TypeId::of::<T>();
        // Most workers have none of these.
        let own = (!self.own.is_empty()).then(|| self.own.get(&(task_type, type_id)));
        own.flatten()
            .or_else(|| self.values.get(&type_id))
            .and_then(|value| value.downcast_ref())
    }

    fn get<T: ?Sized + Send + Sync + 'static>(&self, task_type: &'static str) -> &Arc<T> {
        self.find(task_type)
            .expect("the worker refuses to start when a declared state is missing")
    }
}

fn named(states: &[StateRequirement]) -> String {
    if states.is_empty() {
        return "none".into();
    }
    let names: Vec<_> = states.iter().map(|it| format!("`{}`", it.name())).collect();
    names.join(", ")
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States")
            .field("len", &self.values.len())
            .finish()
    }
}

/// A type of worker state that a handler borrows.
#[derive(Clone, Copy)]
pub struct StateRequirement {
    type_id: TypeId,
    // `type_name` is not a `const fn`.
    type_name: fn() -> &'static str,
}

impl StateRequirement {
    /// Requires a state of the type `T`, or of the trait object `T`.
    pub const fn of<T: ?Sized + Send + Sync + 'static>() -> Self {
        Self {
            type_id: TypeId::of::<T>(),
            type_name: type_name::<T>,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        (self.type_name)()
    }

    /// Says why no worker has it, where it is what only the other kind of handlers is given.
    pub(crate) fn why_none(&self) -> Option<&'static str> {
        if self.type_id == TypeId::of::<Batch>() {
            Some(
                ", which only a handler of many payloads is given (`#[batch]`): take `&taskq::Attempt`",
            )
        } else if self.type_id == TypeId::of::<Attempt>() {
            Some(
                ", which no handler of many payloads is given: `&taskq::Batch` has the attempt at each of its tasks",
            )
        } else {
            None
        }
    }
}

impl fmt::Debug for StateRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateRequirement")
            .field(&self.name())
            .finish()
    }
}

/// What is being made in one call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Made<'a> {
    /// An attempt at one task.
    One(&'a Arc<Attempt>),
    /// An attempt at each of many.
    Many(&'a Arc<Batch>),
}

/// What a handler can be given in one call, beside its payload.
#[derive(Debug)]
pub struct Parts<'a> {
    pub(crate) states: &'a States,
    pub(crate) made: Made<'a>,
    pub(crate) tx: Option<GivenTx<'a>>,
}

impl<'a> Parts<'a> {
    /// Borrows the attempt that is being made; in a handler of many payloads, the first of them.
    pub fn attempt(&self) -> &'a Attempt {
        match self.made {
            Made::One(attempt) => attempt,
            Made::Many(batch) => &batch[0],
        }
    }

    /// Borrows the tasks of the call, in a handler of many payloads.
    pub fn batch(&self) -> Option<&'a Batch> {
        match self.made {
            Made::One(_) => None,
            Made::Many(batch) => Some(batch),
        }
    }

    /// Borrows the worker state of the type `T`; for [`Attempt`], the attempt being made, and for [`Batch`] those at many.
    ///
    /// # Panics
    ///
    /// When the state was not declared in [`Declaration::states`](crate::handler::Declaration::states):
    /// a worker that lacks a declared state does not start.
    pub fn state<T: ?Sized + Send + Sync + 'static>(&self) -> &'a T {
        self.find::<T>()
    }

    /// Shares the worker state of the type `T`.
    ///
    /// # Panics
    ///
    /// As [`state`](Self::state).
    pub fn arc<T: ?Sized + Send + Sync + 'static>(&self) -> Arc<T> {
        Arc::clone(self.find::<T>())
    }

    fn find<T: ?Sized + Send + Sync + 'static>(&self) -> &'a Arc<T> {
        let made: &'a dyn Any = match self.made {
            Made::One(attempt) => attempt,
            Made::Many(batch) => batch,
        };
        made.downcast_ref::<Arc<T>>()
            .unwrap_or_else(|| self.states.get::<T>(self.attempt().task_type))
    }

    /// Takes the transaction in which the task completes.
    ///
    /// # Panics
    ///
    /// When the handler was declared with another [`delivery`](crate::handler::Declaration::delivery), or on the second
    /// call.
    pub fn tx<X: TxHandle>(&mut self) -> &'a mut X {
        X::of(self.given_tx())
    }

    #[doc(hidden)]
    pub fn given_tx(&mut self) -> GivenTx<'a> {
        self.tx
            .take()
            .expect("a transactional handler is given its transaction, once")
    }
}

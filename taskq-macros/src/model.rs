//! A task whose every rule was checked: all that the code to be written depends on.

use std::time::Duration;

use proc_macro2::Ident;
use syn::{Attribute, Type, TypeReference, Visibility};

use crate::krate::Krate;
use crate::options::{Concurrency, Rate, Schedule, Sequence, Setting, Unique};
use crate::parse::Function;

/// What `#[task]` declares.
pub(crate) struct Task<'a> {
    pub(crate) function: &'a Function,
    pub(crate) krate: Krate,
    pub(crate) payload: Payload<'a>,
    pub(crate) aliases: Vec<String>,
    /// What else its options say to the worker.
    pub(crate) settings: Vec<&'a Setting>,
    /// The functions that its options name.
    pub(crate) functions: Vec<Named<'a>>,
    /// What enqueues the task by the calendar.
    pub(crate) schedule: &'a Schedule,
    /// The handler's return type, if what it holds is kept.
    pub(crate) kept: Option<&'a Type>,
    /// What makes the handler one of many payloads, if it is.
    pub(crate) batch: Option<Batch<'a>>,
    /// In the order of the handler's arguments.
    pub(crate) arguments: Vec<Argument<'a>>,
}

/// What a handler of many payloads says of them.
pub(crate) struct Batch<'a> {
    /// The type of one.
    pub(crate) payload: &'a Type,
    pub(crate) size: u16,
    pub(crate) wait: Duration,
}

/// A function that an option names.
pub(crate) struct Named<'a> {
    /// The constant of `Task` that has it.
    pub(crate) constant: &'static str,
    /// The type of the function, for a payload.
    pub(crate) ty: &'static str,
    pub(crate) path: &'a syn::Path,
}

/// Where the payload of a handler comes from.
pub(crate) enum Payload<'a> {
    /// A struct that is made of the handler's owned arguments.
    Made {
        ident: Ident,
        derives: &'a [syn::Path],
        stored: Box<Stored<'a>>,
    },
    /// A type that is declared elsewhere. The task is then a type of its own, since nobody may
    /// implement our trait for somebody else's.
    Foreign { ty: &'a Type, handler: Ident },
}

/// How tasks of a type are enqueued and stored.
pub(crate) struct Stored<'a> {
    pub(crate) name: String,
    /// What else its options say.
    pub(crate) settings: Vec<&'a Setting>,
    pub(crate) version: u16,
    /// Whether the handler's result is kept.
    pub(crate) keeps_result: bool,
    /// What leads to the newest version, the oldest step first.
    pub(crate) upgrades: &'a [syn::Path],
    /// Of which tasks one at a time may be there.
    pub(crate) unique: Option<UniqueKey<'a>>,
    /// How many of its tasks run at once, and how fast they start.
    pub(crate) limits: Limits<'a>,
    /// The names of its secret fields.
    pub(crate) secret: Vec<String>,
    /// The names of those that are encrypted.
    pub(crate) encrypted: Vec<String>,
}

/// What `concurrency`, `rate`, `sequence` and `fair` say, with the names that the fields of their key have in JSON.
#[derive(Default)]
pub(crate) struct Limits<'a> {
    pub(crate) concurrency: Option<&'a Concurrency>,
    pub(crate) rate: Option<&'a Rate>,
    pub(crate) sequence: Option<&'a Sequence>,
    pub(crate) on_dead: Option<&'static str>,
    /// Whether keys take turns.
    pub(crate) is_fair: bool,
    pub(crate) names: Option<Vec<String>>,
}

/// What `unique` says, with the names that the fields of the key have in JSON.
pub(crate) struct UniqueKey<'a> {
    pub(crate) unique: &'a Unique,
    pub(crate) names: Option<Vec<String>>,
}

/// A payload that `derive(Payload)` stands on.
pub(crate) struct Derived<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) visibility: &'a Visibility,
    pub(crate) krate: Krate,
    pub(crate) stored: Stored<'a>,
    /// Its fields, if they have names.
    pub(crate) fields: Option<Vec<&'a syn::Field>>,
    /// Whether `#[garde(…)]` says what values are allowed.
    pub(crate) is_validated: bool,
    /// The type of the result that is kept.
    pub(crate) result: Option<&'a Type>,
}

/// What a handler's argument is given by its worker.
pub(crate) enum Argument<'a> {
    /// An owned argument: a field of the payload.
    Field(Field<'a>),
    /// `&T`: the `T` of the worker's state.
    State(&'a Type),
    /// `&mut X`: the transaction, as an `X`.
    Transaction(&'a TypeReference),
    /// `#[inject] Arc<T>`: worker state that is shared.
    Injected(&'a Type),
    /// `#[payload] m: T`: the payload as a whole.
    Whole(&'a Ident),
    /// `#[batch(…)] payloads: Vec<T>`: many payloads, each as a whole.
    Many(&'a Ident),
}

/// A field of the payload.
pub(crate) struct Field<'a> {
    pub(crate) ident: Ident,
    pub(crate) ty: &'a Type,
    /// Those that go to the field: `serde`, `garde`, `schemars` and `doc`.
    pub(crate) attributes: Vec<&'a Attribute>,
    /// `#[secret]` or `#[encrypted]`, if it is.
    pub(crate) secret: Option<&'a Attribute>,
}

impl<'a> Task<'a> {
    /// Returns the argument that is the transaction in which the task completes.
    pub(crate) fn transaction(&self) -> Option<&TypeReference> {
        self.arguments.iter().find_map(|argument| match argument {
            Argument::Transaction(reference) => Some(*reference),
            _ => None,
        })
    }

    /// Returns the type that has `impl Task`.
    pub(crate) fn ident(&self) -> &Ident {
        match &self.payload {
            Payload::Made { ident, .. } => ident,
            Payload::Foreign { handler, .. } => handler,
        }
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field<'a>> {
        self.arguments.iter().filter_map(|argument| match argument {
            Argument::Field(field) => Some(field),
            _ => None,
        })
    }
}

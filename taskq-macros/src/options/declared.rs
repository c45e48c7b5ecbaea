//! What the options of one function or payload declare.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::{LitStr, Path, Type};

use super::keep::Keep;
use super::limits::{Concurrency, Rate};
use super::place::Subject;
use super::retry::Retry;
use super::schedule::Schedule;
use super::sequence::Sequence;
use super::unique::{self, Unique};

/// What the options say. One that was given wrongly is absent here.
#[derive(Default)]
pub(crate) struct Options {
    /// Those that say no more than a value.
    pub(super) settings: Vec<Setting>,
    /// Those whose value is a function, by their names.
    pub(super) functions: Vec<(&'static str, Path)>,
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    /// Whether the handler's result is kept.
    pub(crate) keeps_result: bool,
    /// The type of the result that tasks of a payload keep.
    pub(crate) result: Option<Type>,
    pub(crate) version: Option<Version>,
    pub(crate) upgrades: Vec<Path>,
    pub(crate) unique: Option<Unique>,
    pub(crate) schedule: Schedule,
    pub(crate) concurrency: Option<Concurrency>,
    pub(crate) rate: Option<Rate>,
    pub(crate) sequence: Option<Sequence>,
    /// The fields by which keys take turns.
    pub(crate) fair: Option<Vec<Ident>>,
    /// What says that all fields are encrypted.
    pub(crate) encrypted: Option<LitStr>,
    /// The variant of `OnDead`.
    pub(crate) on_dead: Option<&'static str>,
    pub(crate) handles: Option<Type>,
    pub(crate) payload: Option<Ident>,
    pub(crate) derives: Vec<Path>,
    pub(crate) krate: Option<Path>,
    /// The names of all that were given, rightly or wrongly, and what they are about.
    pub(super) keys: Vec<(Ident, Subject)>,
}

/// An option whose value a method of its name takes: of `TaskOptions` where it is about the payload, of
/// `Declaration` where it is about the handler.
pub(crate) struct Setting {
    pub(super) subject: Subject,
    pub(super) name: &'static str,
    pub(super) value: Value,
}

/// The value of an option that a method takes.
pub(super) enum Value {
    Text(LitStr),
    /// A number that may be below zero.
    Signed(i16),
    Unsigned(u16),
    Duration(Duration),
    Retry(Retry),
    Keep(Keep),
    /// Whether tasks run in no order.
    Random(bool),
}

/// The version of a payload, and how it was written.
pub(crate) struct Version {
    pub(crate) number: u16,
    pub(crate) tokens: TokenStream,
}

impl Options {
    /// Returns what is said about the payload, or about the handler, in the order given.
    pub(crate) fn settings(&self, subject: Subject) -> impl Iterator<Item = &Setting> {
        (self.settings.iter()).filter(move |setting| setting.subject == subject)
    }

    /// Returns the function that an option of this name names.
    pub(crate) fn function(&self, name: &str) -> Option<&Path> {
        let mut functions = self.functions.iter();
        functions.find(|(it, _)| *it == name).map(|(_, path)| path)
    }

    /// Tells whether tasks run in no order.
    pub(crate) fn is_random(&self) -> bool {
        let mut settings = self.settings.iter();
        settings.any(|setting| matches!(setting.value, Value::Random(true)))
    }

    /// Tells whether completed tasks are not kept.
    pub(crate) fn leaves_nothing(&self) -> bool {
        let mut settings = self.settings.iter();
        settings.any(|setting| matches!(&setting.value, Value::Keep(keep) if keep.leaves_nothing()))
    }

    /// Returns the names of the options that have no place where the payload is declared elsewhere.
    pub(crate) fn about_the_payload(&self) -> impl Iterator<Item = &Ident> {
        let keys = self.keys.iter();
        keys.filter(|(_, subject)| matches!(subject, Subject::Payload | Subject::Struct))
            .map(|(key, _)| key)
    }

    /// Returns an option's name as it was written, if the option was given, rightly or wrongly.
    pub(crate) fn key(&self, name: &str) -> Option<&Ident> {
        (self.keys.iter().map(|(key, _)| key)).find(|key| *key == name)
    }
}

impl Setting {
    /// Writes the call of its method: `.queue("mail")`.
    pub(crate) fn call(&self, private: &TokenStream) -> TokenStream {
        let method = Ident::new(self.name, Span::call_site());
        let value = self.value.written(private);
        quote!(.#method(#value))
    }
}

impl Value {
    /// Writes it as a method of `TaskOptions` or of `Declaration` takes it.
    fn written(&self, private: &TokenStream) -> TokenStream {
        match self {
            Self::Text(text) => text.to_token_stream(),
            Self::Signed(number) => number.to_token_stream(),
            Self::Unsigned(number) => number.to_token_stream(),
            Self::Duration(duration) => unique::written(private, *duration),
            Self::Retry(retry) => retry.written(private),
            Self::Keep(keep) => keep.written(private),
            Self::Random(true) => quote!(#private::Order::Random),
            Self::Random(false) => quote!(#private::Order::OldestFirst),
        }
    }
}

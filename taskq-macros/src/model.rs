//! A task whose every rule was checked: all that the code to be written depends on.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::{Attribute, Type, TypeReference, Visibility};

use crate::options::Options;
use crate::parse::Function;

/// What `#[task]` declares.
pub(crate) struct Task<'a> {
    pub(crate) function: &'a Function,
    pub(crate) krate: Krate,
    pub(crate) payload: Payload<'a>,
    pub(crate) aliases: Vec<String>,
    pub(crate) timeout: Option<Duration>,
    /// The handler's return type, if what it holds is kept.
    pub(crate) kept: Option<&'a Type>,
    /// In the order of the handler's arguments.
    pub(crate) arguments: Vec<Argument<'a>>,
}

/// Where the payload of a handler comes from.
pub(crate) enum Payload<'a> {
    /// A struct that is made of the handler's owned arguments.
    Made {
        ident: Ident,
        derives: &'a [syn::Path],
        stored: Stored<'a>,
    },
    /// A type that is declared elsewhere. The task is then a type of its own, since nobody may
    /// implement our trait for somebody else's.
    Foreign { ty: &'a Type, handler: Ident },
}

/// How tasks of a type are enqueued and stored.
pub(crate) struct Stored<'a> {
    pub(crate) name: String,
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<i16>,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) version: u16,
    /// Whether the handler's result is kept.
    pub(crate) keeps_result: bool,
    /// What leads to the newest version, the oldest step first.
    pub(crate) upgrades: &'a [syn::Path],
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
}

/// A field of the payload.
pub(crate) struct Field<'a> {
    pub(crate) ident: Ident,
    pub(crate) ty: &'a Type,
    /// Those that go to the field: `serde`, `garde`, `schemars` and `doc`.
    pub(crate) attributes: Vec<&'a Attribute>,
}

impl<'a> Task<'a> {
    /// Tells whether the handler works in the transaction in which the task completes.
    pub(crate) fn is_transactional(&self) -> bool {
        self.arguments
            .iter()
            .any(|argument| matches!(argument, Argument::Transaction(_)))
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

/// The path at which the user's crate finds taskq.
pub(crate) struct Krate {
    given: Option<syn::Path>,
}

impl Krate {
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            given: options.krate.clone(),
        }
    }

    /// Returns the path of the private module. That it is wrong is said where the user wrote it.
    pub(crate) fn private(&self) -> TokenStream {
        match &self.given {
            None => quote!(::taskq::__private),
            Some(path) => {
                let last = path.segments.last().map(|part| part.ident.span());
                quote_spanned!(last.unwrap_or_else(Span::call_site)=> #path::__private)
            }
        }
    }

    /// Returns the path of the private module, as if it stood at `span`.
    ///
    /// A path that is interpolated keeps its own span, whatever `quote_spanned!` says, and an error
    /// would underline the attribute. So it is made anew for each place.
    pub(crate) fn private_at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.given else {
            return quote_spanned!(span=> ::taskq::__private);
        };
        let path: TokenStream = path
            .to_token_stream()
            .into_iter()
            .map(|mut token| {
                // How it resolves stays the user's.
                token.set_span(token.span().located_at(span));
                token
            })
            .collect();
        quote_spanned!(span=> #path::__private)
    }

    /// Returns the path of an item in the private module, as serde's attributes want it.
    pub(crate) fn private_in_a_string(&self, item: &str) -> String {
        let krate = match &self.given {
            None => "::taskq".to_owned(),
            Some(path) => path_text(path),
        };
        format!("{krate}::__private::{item}")
    }
}

fn path_text(path: &syn::Path) -> String {
    let parts: Vec<String> = path
        .segments
        .iter()
        .map(|part| part.ident.to_string())
        .collect();
    let root = path.leading_colon.map_or("", |_| "::");
    format!("{root}{}", parts.join("::"))
}

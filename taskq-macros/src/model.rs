//! A task whose every rule was checked: all that the code to be written depends on.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use syn::{Attribute, Type};

use crate::options::Options;
use crate::parse::Function;

/// What `#[task]` declares.
pub(crate) struct Task<'a> {
    pub(crate) function: &'a Function,
    pub(crate) krate: Krate,
    pub(crate) payload: Ident,
    pub(crate) derives: &'a [syn::Path],
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<i16>,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) timeout: Option<Duration>,
    /// In the order of the handler's arguments.
    pub(crate) arguments: Vec<Argument<'a>>,
}

/// What a handler's argument is given by its worker.
pub(crate) enum Argument<'a> {
    /// An owned argument: a field of the payload.
    Field(Field<'a>),
    /// `&T`: the `T` of the worker's state.
    State(&'a Type),
    /// `&mut X`: the transaction, as an `X`.
    Transaction(&'a Type),
    /// `#[inject] Arc<T>`: worker state that is shared.
    Injected(&'a Type),
}

/// A field of the payload.
pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    /// Those that go to the field: `serde` and `doc`.
    pub(crate) attributes: Vec<&'a Attribute>,
}

impl<'a> Task<'a> {
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

    /// Returns the path of the private module, as if it stood at `span`.
    ///
    /// A path that is interpolated keeps its own span, whatever `quote_spanned!` says, and an error
    /// would underline the attribute. So it is made anew for each place.
    pub(crate) fn private_at(&self, span: proc_macro2::Span) -> TokenStream {
        let Some(path) = &self.given else {
            return quote::quote_spanned!(span=> ::taskq::__private);
        };
        let path = quote::ToTokens::into_token_stream(path).into_iter();
        let path: TokenStream = path
            .map(|mut token| {
                // How it resolves stays the user's.
                token.set_span(token.span().located_at(span));
                token
            })
            .collect();
        quote::quote_spanned!(span=> #path::__private)
    }

    /// Returns the path of serde, as serde's derives want it.
    pub(crate) fn serde_in_a_string(&self) -> String {
        let krate = match &self.given {
            None => "::taskq".to_owned(),
            Some(path) => path_text(path),
        };
        format!("{krate}::__private::serde")
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

//! One option as it was written. Its tokens are kept, for errors to point at.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream};

/// What stands between two commas: an option's name, and what may be its value.
pub(super) struct OptionText {
    pub(super) key: Ident,
    rest: TokenStream,
    whole: TokenStream,
}

/// An option that there is, with its value.
pub(super) struct GivenOption {
    pub(super) key: Ident,
    pub(super) value: GivenValue,
    /// How the option is written.
    example: &'static str,
    whole: TokenStream,
}

/// What stands after an option's name.
pub(super) enum GivenValue {
    /// `= …`.
    Assigned(TokenStream),
    /// `(…)`.
    List(TokenStream),
}

impl OptionText {
    /// Reads the option's name.
    pub(super) fn parse(whole: TokenStream) -> syn::Result<Self> {
        let mut tokens = whole.clone().into_iter();
        match tokens.next() {
            Some(TokenTree::Ident(key)) => Ok(Self {
                key,
                rest: tokens.collect(),
                whole,
            }),
            _ => Err(syn::Error::new_spanned(
                whole,
                "expected an option, such as `queue = \"mail\"`",
            )),
        }
    }

    /// Reads what stands after the name of an option that is written as in `example`.
    pub(super) fn with_value(self, example: &'static str) -> syn::Result<GivenOption> {
        let mut tokens = self.rest.into_iter();
        let value = match tokens.next() {
            Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {
                GivenValue::Assigned(tokens.by_ref().collect())
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                GivenValue::List(group.stream())
            }
            _ => {
                let message = format!("`{}` needs a value: write `{example}`", self.key);
                return Err(syn::Error::new_spanned(self.whole, message));
            }
        };
        if tokens.next().is_some() {
            let message = format!("expected a comma after the list: write `{example}`");
            return Err(syn::Error::new_spanned(self.whole, message));
        }
        Ok(GivenOption {
            key: self.key,
            value,
            example,
            whole: self.whole,
        })
    }
}

impl GivenOption {
    /// Makes the error that the value is not of the right kind.
    pub(super) fn wrong_kind(&self, takes: &str) -> syn::Error {
        let Self { key, example, .. } = self;
        let message = format!("`{key}` takes {takes}: write `{example}`");
        syn::Error::new_spanned(&self.whole, message)
    }

    /// Reads the value that stands after `=`.
    pub(super) fn assigned<T: Parse>(&self, takes: &str) -> syn::Result<T> {
        let GivenValue::Assigned(tokens) = &self.value else {
            return Err(self.wrong_kind(takes));
        };
        let WithRest(value, rest) =
            syn::parse2(tokens.clone()).map_err(|_| self.wrong_kind(takes))?;
        if !rest.is_empty() {
            let message = "expected a comma before the next option";
            return Err(syn::Error::new_spanned(rest, message));
        }
        Ok(value)
    }

    /// Makes the error that the value is of the right kind, and still cannot be.
    pub(super) fn wrong_value(&self, message: &str) -> syn::Error {
        syn::Error::new_spanned(self.value.tokens(), message)
    }
}

impl GivenValue {
    pub(super) fn tokens(&self) -> &TokenStream {
        match self {
            Self::Assigned(tokens) | Self::List(tokens) => tokens,
        }
    }
}

/// A value, and what was written after it.
struct WithRest<T>(T, TokenStream);

impl<T: Parse> Parse for WithRest<T> {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self(input.parse()?, input.parse()?))
    }
}

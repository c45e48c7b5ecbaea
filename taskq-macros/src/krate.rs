//! Where the user's crate finds taskq.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};

use crate::options::Options;

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

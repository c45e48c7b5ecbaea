//! Reads `keep`: for how long finished tasks are kept.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::quote;
use syn::LitStr;
use syn::parse::Parser as _;

use super::duration;
use super::given::{GivenOption, GivenValue};
use super::unique;
use crate::tokens::split_at_commas;

const OUTCOMES: [&str; 6] = [
    "completed",
    "discarded",
    "cancelled",
    "expired",
    "invalid",
    "quarantined",
];

const TAKES: &str = "a time in a string, as in `keep = \"7d\"`, or one for each outcome, as in \
                     `keep(completed = \"7d\", discarded = \"30d\")`";

/// What `keep` says, in the order given.
pub(super) struct Keep(Vec<(Ident, KeepFor)>);

enum KeepFor {
    NotAtAll,
    Time(Duration),
    Forever,
}

/// Reads the option's value.
pub(super) fn read(given: &GivenOption) -> syn::Result<Keep> {
    let keep = match &given.value {
        GivenValue::Assigned(tokens) => {
            let time = syn::parse2(tokens.clone()).map_err(|_| given.wrong_kind(TAKES))?;
            let completed = Ident::new(OUTCOMES[0], Span::call_site());
            vec![(completed, time_of("keep", &time)?)]
        }
        GivenValue::List(list) => list_of(given, list)?,
    };
    Ok(Keep(keep))
}

fn list_of(given: &GivenOption, list: &TokenStream) -> syn::Result<Vec<(Ident, KeepFor)>> {
    let mut keep: Vec<(Ident, KeepFor)> = Vec::new();
    for piece in split_at_commas(list.clone()) {
        let Some(TokenTree::Ident(outcome)) = piece.clone().into_iter().next() else {
            return Err(given.wrong_kind(TAKES));
        };
        let name = outcome.to_string();
        if !OUTCOMES.contains(&&*name) {
            let message = format!(
                "there is no outcome `{name}`: `keep` takes `{}`",
                OUTCOMES.join("`, `")
            );
            return Err(syn::Error::new_spanned(outcome, message));
        }
        if keep.iter().any(|(other, _)| *other == outcome) {
            let message = format!("`keep`: `{name}` is specified more than once");
            return Err(syn::Error::new_spanned(outcome, message));
        }
        let text = assigned.parse2(piece.clone()).map_err(|_| {
            syn::Error::new_spanned(
                piece,
                format!("`keep`: `{name}` takes a time in a string, as in `{name} = \"7d\"`"),
            )
        })?;
        let time = time_of(&name, &text)?;
        keep.push((outcome, time));
    }
    match keep.is_empty() {
        true => Err(given.wrong_kind(TAKES)),
        false => Ok(keep),
    }
}

fn assigned(input: syn::parse::ParseStream<'_>) -> syn::Result<LitStr> {
    input.parse::<Ident>()?;
    input.parse::<syn::Token![=]>()?;
    input.parse()
}

fn time_of(said_of: &str, text: &LitStr) -> syn::Result<KeepFor> {
    let word = text.value();
    match word.as_str() {
        "none" => return Ok(KeepFor::NotAtAll),
        "forever" => return Ok(KeepFor::Forever),
        _ => {}
    }
    let time = duration::parse(&word).map_err(|problem| {
        let message = problem.message(said_of, &word);
        let message = format!("{message}; `none` keeps nothing, and `forever` all");
        syn::Error::new_spanned(text, message)
    })?;
    Ok(KeepFor::Time(time))
}

impl Keep {
    /// Tells whether completed tasks are not kept.
    pub(super) fn leaves_nothing(&self) -> bool {
        let mut keep = self.0.iter();
        keep.any(|(outcome, time)| outcome == OUTCOMES[0] && matches!(time, KeepFor::NotAtAll))
    }

    /// Writes it as the method of `Declaration` takes it.
    pub(super) fn written(&self, private: &TokenStream) -> TokenStream {
        let said = self.0.iter().map(|(outcome, time)| {
            let method = Ident::new(&outcome.to_string(), Span::call_site());
            let time = match time {
                KeepFor::NotAtAll => quote!(NotAtAll),
                KeepFor::Forever => quote!(Forever),
                KeepFor::Time(time) => {
                    let time = unique::written(private, *time);
                    quote!(Time(#time))
                }
            };
            quote!(.#method(#private::KeepFor::#time))
        });
        quote!(#private::Keep::new() #(#said)*)
    }
}

//! Picks those attributes of the function that concern the items made of it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Meta};

use crate::parse::Function;
use crate::tokens::split_at_commas;

/// Attributes for the items made of a function.
pub(crate) struct Attributes {
    pub(crate) cfgs: Vec<TokenStream>,
    /// On the struct, so that to enqueue a task that is going away warns.
    pub(crate) deprecated: Vec<TokenStream>,
    /// On what names the function or the struct.
    pub(crate) allow_deprecated: Option<TokenStream>,
}

impl Attributes {
    pub(crate) fn none() -> Self {
        Self {
            cfgs: Vec::new(),
            deprecated: Vec::new(),
            allow_deprecated: None,
        }
    }

    pub(crate) fn of(function: &Function) -> Self {
        let only = |wanted: &str| -> Vec<TokenStream> {
            function
                .attributes
                .iter()
                .filter_map(|attribute| only(attribute, wanted))
                .collect()
        };
        let deprecated = only("deprecated");
        Self {
            cfgs: only("cfg"),
            allow_deprecated: (!deprecated.is_empty()).then(|| quote!(#[allow(deprecated)])),
            deprecated,
        }
    }
}

/// Returns the attribute if it is the wanted one, and of a `cfg_attr` as much as is.
fn only(attribute: &Attribute, wanted: &str) -> Option<TokenStream> {
    let kept = only_in_meta(&attribute.meta, wanted)?;
    Some(quote!(#[#kept]))
}

fn only_in_meta(meta: &Meta, wanted: &str) -> Option<TokenStream> {
    if meta.path().is_ident(wanted) {
        return Some(meta.to_token_stream());
    }
    let Meta::List(list) = meta else { return None };
    if !list.path.is_ident("cfg_attr") {
        return None;
    }
    let mut pieces = split_at_commas(list.tokens.clone()).into_iter();
    let condition = pieces.next()?;
    let kept: Vec<_> = pieces
        .filter_map(|piece| syn::parse2::<Meta>(piece).ok())
        .filter_map(|meta| only_in_meta(&meta, wanted))
        .collect();
    (!kept.is_empty()).then(|| quote!(cfg_attr(#condition, #(#kept),*)))
}

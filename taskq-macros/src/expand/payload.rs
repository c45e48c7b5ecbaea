//! Writes what any payload has: `impl Payload`, and the short form of enqueueing.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Path, Type, Visibility};

use crate::expand::Attributes;
use crate::krate::Krate;
use crate::model::{Derived, Stored};

/// Writes which type of result tasks of a payload keep.
pub(super) fn result(payload: &Ident, result: &TokenStream, krate: &Krate) -> TokenStream {
    let private = krate.private();
    quote! {
        impl #private::KeepsResult for #payload {
            type Result = #result;
        }
    }
}

/// What the short form of enqueueing depends on.
pub(super) struct Enqueue<'a> {
    pub(super) payload: &'a Ident,
    pub(super) krate: &'a Krate,
    pub(super) stored: &'a Stored<'a>,
    /// `enqueue`, standing where rustc's note "associated function defined here" points.
    pub(super) ident: Ident,
    pub(super) visibility: &'a Visibility,
    pub(super) attributes: &'a Attributes,
    pub(super) fields: Vec<(&'a Ident, &'a Type)>,
}

/// Writes the short form of enqueueing.
pub(super) fn enqueue(it: &Enqueue<'_>) -> TokenStream {
    let Enqueue {
        payload,
        ident: enqueue,
        visibility,
        ..
    } = it;
    let Attributes {
        cfgs,
        allow_deprecated,
        ..
    } = it.attributes;
    let private = it.krate.private();
    let span = enqueue.span();
    let conn = Ident::new("conn", Span::mixed_site().located_at(span));
    let here = Span::call_site().located_at(span);
    let private_here = it.krate.private_at(here);
    let conn_type = quote_spanned!(here=> &'conn mut #private_here::PgConnection);
    let (names, types): (Vec<_>, Vec<_>) = it.fields.iter().copied().unzip();
    let doc = format!(
        "Enqueues the task type `{}` in the caller's transaction.",
        it.stored.name
    );
    quote! {
        #(#cfgs)*
        #allow_deprecated
        impl #payload {
            #[doc = #doc]
            #[doc = ""]
            #[doc = "Nothing happens until the builder that it returns is awaited."]
            #[allow(dead_code, clippy::too_many_arguments)]
            #visibility fn #enqueue<'conn>(
                #conn: #conn_type,
                #(#names: #types,)*
            ) -> #private::Enqueue<'conn, #payload> {
                #private::enqueue(#conn, #payload { #(#names,)* })
            }
        }
    }
}

/// Writes the short form for a struct of the user's, as visible as its fields are.
pub(super) fn enqueue_of(derived: &Derived<'_>, fields: &[&syn::Field]) -> TokenStream {
    // By their text: comparing them would need more of syn.
    let text = |visibility: &Visibility| visibility.to_token_stream().to_string();
    let all_visible = fields.iter().all(|field| {
        matches!(field.vis, Visibility::Public(_)) || text(&field.vis) == text(derived.visibility)
    });
    let inherited = Visibility::Inherited;
    let fields = fields
        .iter()
        .filter_map(|field| Some((field.ident.as_ref()?, &field.ty)));
    enqueue(&Enqueue {
        payload: derived.ident,
        krate: &derived.krate,
        stored: &derived.stored,
        ident: Ident::new("enqueue", derived.ident.span()),
        visibility: if all_visible {
            derived.visibility
        } else {
            &inherited
        },
        attributes: &Attributes::none(),
        fields: fields.collect(),
    })
}

/// Asserts, as an argument of a function, that serde can write and read a payload.
pub(super) fn assertion(payload: &Ident, krate: &Krate) -> TokenStream {
    let span = payload.span();
    let private = krate.private_at(span);
    quote_spanned!(span=> _: #private::AssertJson<#payload>)
}

/// Writes functions' arguments that assert something of their types, for a block of its own.
pub(super) fn assertions(assertions: &[TokenStream]) -> Option<TokenStream> {
    (!assertions.is_empty()).then(|| {
        quote! {
            #[allow(dead_code)]
            fn __taskq_assertions(#(#assertions),*) {}
        }
    })
}

/// Writes what enqueueing and decoding need to know of the task type. Where values are `validated`, that
/// is said at the span given.
pub(super) fn implementation(
    payload: &Ident,
    stored: &Stored<'_>,
    krate: &Krate,
    validated: Option<Span>,
    schema: Option<TokenStream>,
) -> TokenStream {
    let private = krate.private();
    let name = &stored.name;
    let options = options(stored, krate);
    let [raw, version] = ["raw", "version"].map(|name| Ident::new(name, Span::mixed_site()));
    let codec = quote!(#private::Codec::<#payload>);
    let decode = match stored.upgrades {
        [] => quote!(#codec::decode(#raw, #version)),
        _ => {
            let upgrades = upgrades(stored, krate);
            quote!(#codec::decode_any(#raw, #version, &[#(#upgrades),*]))
        }
    };
    let validate = match validated {
        Some(span) => {
            let private_here = krate.private_at(span);
            let found = quote_spanned!(span=> #private_here::garde(self));
            quote! {
                fn validate(&self) -> #private::Result<(), #private::InvalidPayload> {
                    #found
                }
            }
        }
        None => quote!(const HAS_VALIDATION: #private::bool = false;),
    };
    quote! {
        #[allow(unused_imports)]
        use #private::NoCodec as _;

        impl #private::Payload for #payload {
            const TASK_TYPE: &'static #private::str = #name;
            #options
            const IS_EXACT: #private::bool = true;

            fn encode(
                &self,
            ) -> #private::Result<#private::Box<#private::RawValue>, #private::EncodeError> {
                #codec::encode(self)
            }

            fn decode(
                #raw: &#private::RawValue,
                #version: #private::Option<#private::u16>,
            ) -> #private::Result<Self, #private::DecodeError> {
                #decode
            }

            #validate

            #schema
        }
    }
}

fn options(stored: &Stored<'_>, krate: &Krate) -> Option<TokenStream> {
    let private = krate.private();
    let settings = stored.settings.iter().map(|it| it.call(&private));
    let settings = quote!(#(#settings)*);
    let version = (stored.version > 1).then(|| {
        let version = stored.version;
        quote!(.version(#version))
    });
    let older = (!stored.upgrades.is_empty()).then(|| {
        let older = u16::try_from(stored.upgrades.len()).unwrap_or(u16::MAX);
        quote!(.older_versions(#older))
    });
    let keeps_result = stored.keeps_result.then(|| quote!(.keeps_result()));
    let unique = stored.unique.as_ref().map(|key| {
        let unique = key.unique.written(&private, key.names.as_deref());
        quote!(.unique(#unique))
    });
    let names = stored.limits.names.as_deref();
    let concurrency = stored.limits.concurrency.map(|it| {
        let concurrency = it.written(&private, names.filter(|_| it.key.is_some()));
        quote!(.concurrency(#concurrency))
    });
    let rate = stored.limits.rate.map(|it| {
        let rate = it.written(&private, names.filter(|_| it.key.is_some()));
        quote!(.rate(#rate))
    });
    let sequence = stored.limits.sequence.map(|it| {
        let names = names.unwrap_or_default();
        let sequence = it.written(&private, names, stored.limits.on_dead);
        quote!(.sequence(#sequence))
    });
    let fair = stored.limits.is_fair.then(|| {
        let names = names.unwrap_or_default();
        quote!(.fair(&[#(#names),*]))
    });
    let secret = (!stored.secret.is_empty()).then(|| {
        let names = &stored.secret;
        quote!(.secret(&[#(#names),*]))
    });
    let encrypted = (!stored.encrypted.is_empty()).then(|| {
        let names = &stored.encrypted;
        quote!(.encrypted(&[#(#names),*]))
    });
    let said = quote!(
        #settings #version #older #keeps_result #unique #concurrency #rate #sequence #fair #secret
        #encrypted
    );
    (!said.is_empty())
        .then(|| quote!(const OPTIONS: #private::TaskOptions = #private::TaskOptions::new()#said;))
}

/// Writes a closure for each older version, the latest first, that reads it and takes each step from
/// there. Each step stands at the user's path, where a mistake in its type is reported.
fn upgrades(stored: &Stored<'_>, krate: &Krate) -> Vec<TokenStream> {
    let steps = stored.upgrades;
    let raw = Ident::new("raw", Span::mixed_site());
    (0..steps.len())
        .rev()
        .map(|from| {
            let (first, further) = steps[from..].split_first().expect("`from` is in range");
            let private = krate.private_at(span_of(first));
            let mut read = quote_spanned!(span_of(first)=> #private::read_older(#private::first_step(#first, #raw)));
            for step in further {
                let private = krate.private_at(span_of(step));
                read = quote_spanned!(span_of(step)=> #private::further_step(#step, #read));
            }
            quote!(|#raw| #read)
        })
        .collect()
}

pub(super) fn span_of(path: &Path) -> Span {
    let last = path.to_token_stream().into_iter().last();
    last.map_or_else(|| path.span(), |token| token.span())
}

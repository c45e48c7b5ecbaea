//! Writes the payload: the struct, how it is enqueued, and `impl Payload`.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;

use crate::expand::Attributes;
use crate::model::{Field, Task};
use crate::parse::Function;
use crate::tokens::mentions;

/// Asserts what the fields must be, before the struct: what serde's derives say comes second.
pub(super) fn assertions(task: &Task<'_>) -> TokenStream {
    let assertions: Vec<_> = task
        .fields()
        .filter(|field| !serde_goes_around_the_type(field))
        .map(|field| {
            let ty = field.ty;
            let private = task.krate.private_at(ty.span());
            // From the first to the last token of the type, for both to be underlined.
            let close = quote_spanned!(last_span(ty)=> >);
            quote_spanned!(ty.span()=> _: #private::AssertField<#ty #close)
        })
        .collect();
    if assertions.is_empty() {
        return TokenStream::new();
    }
    let attributes = Attributes::of(task.function);
    let (cfgs, allow) = (&attributes.cfgs, &attributes.allow_deprecated);
    quote! {
        #(#cfgs)*
        #allow
        const _: () = {
            #[allow(dead_code)]
            fn __taskq_fields(#(#assertions),*) {}
        };
    }
}

fn last_span(ty: &Type) -> Span {
    let last = ty.to_token_stream().into_iter().last();
    last.map_or_else(Span::call_site, |token| token.span())
}

/// Tells whether serde is told how to write and read a field whose type need not know it.
fn serde_goes_around_the_type(field: &Field<'_>) -> bool {
    const WAYS: [&str; 7] = [
        "bound",
        "with",
        "serialize_with",
        "deserialize_with",
        "skip",
        "skip_serializing",
        "skip_deserializing",
    ];
    field
        .attributes
        .iter()
        .any(|attribute| mentions(attribute.to_token_stream(), &WAYS))
}

/// Writes the payload struct, and the short form of enqueueing it.
pub(super) fn structure(task: &Task<'_>) -> TokenStream {
    let Task {
        function, payload, ..
    } = task;
    let Attributes {
        cfgs,
        deprecated,
        allow_deprecated,
    } = Attributes::of(function);
    let visibility = &function.visibility;
    // A clash of names is reported at the struct's first and last token.
    let at = Span::mixed_site().located_at(function.ident.span());
    let private = task.krate.private();
    let derives = derives(task);
    let docs = payload_docs(task);
    let fields = task.fields().map(|field| {
        let Field {
            ident,
            ty,
            attributes,
        } = field;
        let doc = field_doc(field);
        let bound = field_bound(task, field);
        quote!(#bound #doc #(#attributes)* #visibility #ident: #ty,)
    });
    let fields = quote!(#(#fields)*);
    let body = quote_spanned!(at=> { #fields });
    let declaration = quote_spanned!(at=> struct #payload);

    let enqueue = enqueue_ident(function);
    // Where the note "associated function defined here" points.
    let conn = Ident::new("conn", at);
    let here = Span::call_site().located_at(function.ident.span());
    let private_at_handler = task.krate.private_at(here);
    let conn_type = quote_spanned!(here=> &'conn mut #private_at_handler::PgConnection);
    let names: Vec<_> = task.fields().map(|field| &field.ident).collect();
    let types = task.fields().map(|field| field.ty);
    let enqueue_doc = format!(
        "Enqueues the task type `{}` in the caller's transaction.",
        task.name
    );
    quote! {
        #(#cfgs)*
        #(#deprecated)*
        #(#[doc = #docs])*
        #derives
        #visibility #declaration #body

        #(#cfgs)*
        #allow_deprecated
        impl #payload {
            #[doc = #enqueue_doc]
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

/// Returns the name of the short form, standing at the handler: there rustc's note "associated
/// function defined here" points, and so it names the arguments.
pub(crate) fn enqueue_ident(function: &Function) -> Ident {
    Ident::new("enqueue", function.ident.span())
}

fn derives(task: &Task<'_>) -> TokenStream {
    let private = task.krate.private();
    let serde = task.krate.private_in_a_string("serde");
    let further = (!task.derives.is_empty()).then(|| {
        let derives = task.derives;
        quote!(#[derive(#(#derives),*)])
    });
    quote! {
        #further
        #[derive(#private::serde::Serialize, #private::serde::Deserialize)]
        #[serde(crate = #serde)]
    }
}

fn payload_docs(task: &Task<'_>) -> [String; 1] {
    let handler = task.function.ident.unraw();
    [format!(
        "The payload of the task type `{}`: the owned arguments of its handler, \
         [`{handler}`](fn@{handler}).",
        task.name,
    )]
}

/// Bounds both of serde's implementations by what the field's type must be.
///
/// Where the bound does not hold it is the only thing reported: inside of the implementations it is
/// taken for granted, and two errors that are alike in every word are printed once.
fn field_bound(task: &Task<'_>, field: &Field<'_>) -> Option<TokenStream> {
    if serde_goes_around_the_type(field) {
        return None;
    }
    let ty = field.ty.to_token_stream().to_string();
    // The string is parsed where `$crate` means nothing.
    if ty.contains('$') {
        return None;
    }
    let trait_path = task.krate.private_in_a_string("Serde");
    let mut bound = Literal::string(&format!("{ty}: {trait_path}"));
    bound.set_span(Span::call_site().located_at(field.ty.span()));
    Some(quote!(#[serde(bound = #bound)]))
}

fn field_doc(field: &Field<'_>) -> Option<TokenStream> {
    let documented = field.attributes.iter().any(|it| it.path().is_ident("doc"));
    (!documented).then(|| {
        let doc = format!("The handler's argument `{}`.", field.ident.unraw());
        quote!(#[doc = #doc])
    })
}

/// Writes what enqueueing needs to know of the task type.
pub(super) fn implementation(task: &Task<'_>) -> TokenStream {
    let Task { payload, name, .. } = task;
    let private = task.krate.private();
    let queue = task
        .queue
        .as_ref()
        .map(|queue| quote!(const QUEUE: &'static #private::str = #queue;));
    let priority = task
        .priority
        .map(|priority| quote!(const PRIORITY: #private::i16 = #priority;));
    let max_attempts = task
        .max_attempts
        .map(|max_attempts| quote!(const MAX_ATTEMPTS: #private::u16 = #max_attempts;));
    let raw = Ident::new("raw", Span::mixed_site());
    // Both at one span, for the same reason as in `field_bound`.
    let here = task.function.ident.span();
    let at_handler = task.krate.private_at(here);
    let codec = quote_spanned!(here=> <#payload as #at_handler::Codec>);
    quote! {
        impl #private::Payload for #payload {
            const TASK_TYPE: &'static #private::str = #name;
            #queue
            #priority
            #max_attempts

            fn __encode(
                &self,
            ) -> #private::Result<#private::Box<#private::RawValue>, #private::EncodeError> {
                #codec::encode(self)
            }

            fn __decode(
                #raw: &#private::RawValue,
            ) -> #private::Result<Self, #private::DecodeError> {
                #codec::decode(#raw)
            }
        }
    }
}

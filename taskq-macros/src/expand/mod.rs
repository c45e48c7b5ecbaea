//! Writes the code of a valid task. It cannot fail.
//!
//! Whatever can go wrong in that code is a type of the user's, and then rustc has to point at the
//! user's tokens. So each call stands at the span of what it is about, all of its tokens: see
//! [`Krate::private_at`](crate::krate::Krate::private_at).

mod attributes;
mod made;
mod payload;
mod schema;
mod worker;

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;

use crate::model::{Derived, Payload, Task};
use crate::parse::Function;
use crate::validate::{is_task, stays_on_function};

pub(crate) use attributes::Attributes;
pub(crate) use made::enqueue_ident;

/// Writes the function and all that is made of it.
pub(crate) fn task(task: &Task<'_>) -> TokenStream {
    let handler = handler(task.function, &handler_docs(task));
    let made = match &task.payload {
        Payload::Made {
            ident,
            derives,
            stored,
        } => made::all(task, ident, derives, stored),
        Payload::Foreign { handler, .. } => worker::structure(task, handler),
    };
    let registration = registration(task);
    quote! {
        #handler
        #made
        #registration
    }
}

/// Writes what makes a type of the user's a payload.
pub(crate) fn derived(derived: &Derived<'_>) -> TokenStream {
    let enqueue = derived
        .fields
        .as_deref()
        .map(|fields| payload::enqueue_of(derived, fields));
    let validated = derived.is_validated.then(|| derived.ident.span());
    let fields = derived.fields.iter().flatten();
    let schema = schema::of_payload(
        derived.ident,
        derived.ident,
        &derived.krate,
        derived.stored.upgrades,
        fields.filter_map(|field| Some((field.ident.as_ref()?, field.attrs.iter()))),
    );
    let implementation = payload::implementation(
        derived.ident,
        &derived.stored,
        &derived.krate,
        validated,
        schema,
    );
    let assertion = payload::assertions(&[payload::assertion(derived.ident, &derived.krate)]);
    let result = derived
        .result
        .map(|ty| payload::result(derived.ident, &ty.to_token_stream(), &derived.krate));
    quote! {
        #enqueue
        const _: () = { #assertion #implementation #result };
    }
}

/// Writes the function as it was, without what was meant for the macro.
pub(crate) fn handler(function: &Function, docs: &[String]) -> TokenStream {
    let Function {
        visibility,
        qualifiers,
        fn_token,
        ident,
        generics,
        output,
        where_clause,
        body,
        ..
    } = function;
    let attributes = function.attributes.iter().filter(|it| !is_task(it));
    let mut arguments = TokenStream::new();
    // Under its own span, or clippy would count the arguments at the attribute.
    function.parens.surround(&mut arguments, |arguments| {
        for argument in &function.arguments {
            let attributes = argument
                .attributes
                .iter()
                .filter(|it| stays_on_function(it));
            let (shape, comma) = (&argument.shape, &argument.comma);
            arguments.extend(quote!(#(#attributes)* #shape #comma));
        }
    });
    quote! {
        #(#attributes)*
        #(#[doc = #docs])*
        #visibility #(#qualifiers)* #fn_token #ident #generics #arguments #output #where_clause
        #body
    }
}

fn handler_docs(task: &Task<'_>) -> [String; 2] {
    let text = match &task.payload {
        Payload::Made { ident, stored, .. } => {
            let (name, payload) = (&stored.name, ident.unraw());
            format!(
                "The handler of the task type `{name}`: `#[task]` made the payload \
                 [`{payload}`](struct@{payload}) of its owned arguments; [`{payload}::enqueue`] \
                 enqueues one."
            )
        }
        Payload::Foreign { ty, handler } => {
            let payload: String = ty.to_token_stream().to_string().split(' ').collect();
            let handler = handler.unraw();
            format!(
                "The handler of [`{payload}`]. As a task it is called \
                 [`{handler}`](struct@{handler})."
            )
        }
    };
    [String::new(), text]
}

/// Writes what the worker knows of the task, and its registration.
fn registration(task: &Task<'_>) -> TokenStream {
    let Attributes {
        cfgs,
        allow_deprecated,
        ..
    } = Attributes::of(task.function);
    let ident = task.ident();
    let private = task.krate.private();
    let payload_impl = match &task.payload {
        Payload::Made { ident, stored, .. } => Some(made::implementation(task, ident, stored)),
        Payload::Foreign { .. } => None,
    };
    let task_impl = worker::implementation(task);
    let result = worker::result(task);
    let zone = worker::zone(task);
    quote! {
        #(#cfgs)*
        #allow_deprecated
        const _: () = {
            #payload_impl
            #task_impl
            #result
            #zone
            #private::inventory::submit! {
                #private::Registration::of::<#ident>()
            }
        };
    }
}

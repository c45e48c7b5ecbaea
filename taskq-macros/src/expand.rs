//! Writes the code of a valid task. It cannot fail.
//!
//! Whatever can go wrong in that code is a type of the user's, and then rustc has to point at the
//! user's tokens. So each call stands at the span of what it is about, all of its tokens: see
//! [`Krate::private_at`](crate::model::Krate::private_at).

mod attributes;
mod payload;
mod worker;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;

use crate::arguments::stays_on_function;
use crate::model::Task;
use crate::parse::Function;
use crate::validate::is_task;

pub(crate) use attributes::Attributes;
pub(crate) use payload::enqueue_ident;

/// Writes the function and all that is made of it.
pub(crate) fn task(task: &Task<'_>) -> TokenStream {
    let handler = handler(task.function, &handler_docs(task));
    let assertions = payload::assertions(task);
    let payload = payload::structure(task);
    let implementations = implementations(task);
    quote! {
        #handler
        #assertions
        #payload
        #implementations
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
    let Task { payload, name, .. } = task;
    let payload = payload.unraw();
    [
        String::new(),
        format!(
            "The handler of the task type `{name}`: `#[task]` made the payload [`{payload}`](struct@{payload}) \
             of its owned arguments; [`{payload}::enqueue`] enqueues one."
        ),
    ]
}

/// Writes what enqueueing and the worker know of the task, and its registration.
fn implementations(task: &Task<'_>) -> TokenStream {
    let Attributes {
        cfgs,
        allow_deprecated,
        ..
    } = Attributes::of(task.function);
    let payload = &task.payload;
    let private = task.krate.private();
    let payload_impl = payload::implementation(task);
    let task_impl = worker::implementation(task);
    quote! {
        #(#cfgs)*
        #allow_deprecated
        const _: () = {
            #payload_impl
            #task_impl
            #private::inventory::submit! {
                #private::Registration::of::<#payload>()
            }
        };
    }
}

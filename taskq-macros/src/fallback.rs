//! Writes what keeps the rest of the user's crate compiling when a task has mistakes.
//!
//! All of them are reported, and nothing else is: the function stays callable, and a stub stands
//! where other code names the payload. The program does not compile, so a stub never runs.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::GenericParam;

use crate::errors::Errors;
use crate::expand;
use crate::krate::Krate;
use crate::names;
use crate::options::Options;
use crate::parse::{Argument, Function, Shape, bare};
use crate::tokens::{mentions, with_static_lifetimes};
use crate::validate;

/// Writes an item that is no function, and what is wrong with that.
pub(crate) fn item(item: &TokenStream, errors: &Errors) -> TokenStream {
    let errors = errors.to_compile_errors();
    quote!(#item #errors)
}

/// Writes what is wrong with a payload, and a stub of its implementation.
pub(crate) fn payload(input: &syn::DeriveInput, options: &Options, errors: &Errors) -> TokenStream {
    let errors = errors.to_compile_errors();
    if input.generics.lt_token.is_some() {
        return errors;
    }
    let private = Krate::of(options).private();
    let payload_impl = stub_of_payload(&private, &input.ident);
    let enqueue = match &input.data {
        syn::Data::Struct(data) => stub_of_enqueue(&private, input, data),
        syn::Data::Enum(_) | syn::Data::Union(_) => None,
    };
    quote! {
        #errors

        #[allow(unused_variables, dead_code)]
        const _: () = {
            #payload_impl
            #enqueue
        };
    }
}

fn stub_of_enqueue(
    private: &TokenStream,
    input: &syn::DeriveInput,
    data: &syn::DataStruct,
) -> Option<TokenStream> {
    let syn::Fields::Named(fields) = &data.fields else {
        return None;
    };
    let (visibility, payload) = (&input.vis, &input.ident);
    let (names, types): (Vec<_>, Vec<_>) =
        fields.named.iter().map(|it| (&it.ident, &it.ty)).unzip();
    Some(quote! {
        impl #payload {
            #visibility fn enqueue<'conn>(
                conn: &'conn mut #private::PgConnection,
                #(#names: #types,)*
            ) -> #private::Enqueue<'conn, #payload> {
                #private::stub()
            }
        }
    })
}

/// Writes a function with mistakes, its mistakes, and a stub of its payload.
pub(crate) fn function(function: &Function, options: &Options, errors: &Errors) -> TokenStream {
    let handler = expand::handler(&without_what_rustc_refuses(function), &[]);
    let errors = errors.to_compile_errors();
    let stub = stub(function, options);
    quote!(#handler #errors #stub)
}

/// Leaves out what rustc refuses too, after us and in other words.
fn without_what_rustc_refuses(function: &Function) -> Function {
    let mut function = function.clone();
    function
        .qualifiers
        .retain(|qualifier| qualifier.keyword == "async");
    function
        .arguments
        .retain(|argument| !matches!(argument.shape, Shape::Variadic(_)));
    function
}

fn stub(function: &Function, options: &Options) -> Option<TokenStream> {
    // A method stands in an `impl` block, where a struct cannot.
    if validate::is_method(function) {
        return None;
    }
    if is_foreign(function, options) {
        return stub_of_handler(function, options);
    }
    let payload = validate::payload_ident(function, options)?;
    if validate::is_taken(&payload, function) {
        return None;
    }
    let expand::Attributes {
        cfgs,
        allow_deprecated,
        ..
    } = expand::Attributes::of(function);
    let private = Krate::of(options).private();
    let visibility = &function.visibility;
    let enqueue = expand::enqueue_ident(function);
    let derives = &options.derives;
    let (names, types): (Vec<Ident>, Vec<TokenStream>) = fields(function).into_iter().unzip();
    let payload_impl = stub_of_payload(&private, &payload);
    let task_impl = stub_of_task(&private, &payload, &payload.to_token_stream());
    Some(quote! {
        #(#cfgs)*
        #[doc = "A stub: the handler has mistakes."]
        #[derive(#(#derives),*)]
        #[allow(dead_code)]
        #visibility struct #payload { #(#[doc = "A field."] #visibility #names: #types,)* }

        #(#cfgs)*
        #allow_deprecated
        #[allow(unused_variables, dead_code)]
        const _: () = {
            impl #payload {
                #[doc = "A stub: the handler has mistakes."]
                #visibility fn #enqueue<'conn>(
                    conn: &'conn mut #private::PgConnection,
                    #(#names: #types,)*
                ) -> #private::Enqueue<'conn, #payload> {
                    #private::stub()
                }
            }

            #payload_impl

            #task_impl
        };
    })
}

fn is_foreign(function: &Function, options: &Options) -> bool {
    options.key("handles").is_some()
        || validate::is_batch_meant(function)
        || function
            .arguments
            .iter()
            .any(|it| it.marked("payload").is_some())
}

/// Writes the task of a handler whose payload is declared elsewhere.
fn stub_of_handler(function: &Function, options: &Options) -> Option<TokenStream> {
    let handler = names::handler_type(&function.ident)?;
    if validate::is_taken(&handler, function) {
        return None;
    }
    let cfgs = expand::Attributes::of(function).cfgs;
    let visibility = &function.visibility;
    let private = Krate::of(options).private();
    // What it handles may be wrong, too, so nothing is said of that.
    let task_impl = stub_of_task(&private, &handler, &quote!(#private::NoPayload));
    Some(quote! {
        #(#cfgs)*
        #[doc = "A stub: the handler has mistakes."]
        #[allow(dead_code)]
        #visibility struct #handler;

        #(#cfgs)*
        #[allow(unused_variables, dead_code)]
        const _: () = { #task_impl };
    })
}

fn stub_of_payload(private: &TokenStream, payload: &Ident) -> TokenStream {
    quote! {
        impl #private::Payload for #payload {
            const TASK_TYPE: &'static #private::str = "";

            fn encode(
                &self,
            ) -> #private::Result<#private::Box<#private::RawValue>, #private::EncodeError>
            {
                #private::stub()
            }

            fn decode(
                raw: &#private::RawValue,
                version: #private::Option<#private::u16>,
            ) -> #private::Result<Self, #private::DecodeError> {
                #private::stub()
            }
        }
    }
}

fn stub_of_task(private: &TokenStream, task: &Ident, payload: &TokenStream) -> TokenStream {
    quote! {
        impl #private::Task for #task {
            type Payload = #payload;

            const DECLARATION: #private::Declaration = #private::Declaration::new();

            fn run<'run>(
                payload: #payload,
                parts: #private::Parts<'run>,
            ) -> #private::BoxFuture<'run, #private::Outcome> {
                #private::stub()
            }
        }
    }
}

/// Returns the fields that the payload would have, as far as a struct can have them.
fn fields(function: &Function) -> Vec<(Ident, TokenStream)> {
    let generics: Vec<String> = function
        .generics
        .params
        .iter()
        .filter_map(|param| match param {
            GenericParam::Type(param) => Some(param.ident.to_string()),
            GenericParam::Const(param) => Some(param.ident.to_string()),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    let unknown: Vec<&str> = generics
        .iter()
        .map(String::as_str)
        .chain(["impl"])
        .collect();
    function
        .arguments
        .iter()
        .filter(|argument| !is_injected(argument))
        .filter_map(|argument| match &argument.shape {
            Shape::Named { ident, ty, .. } => Some((names::field(ident), ty)),
            _ => None,
        })
        .filter(|(_, ty)| !matches!(bare(ty), syn::Type::Reference(_)))
        .map(|(ident, ty)| (ident, ty.to_token_stream()))
        .filter(|(_, ty)| !mentions(ty.clone(), &unknown))
        .map(|(ident, ty)| (ident, with_static_lifetimes(ty)))
        .collect()
}

fn is_injected(argument: &Argument) -> bool {
    argument.marked("inject").is_some()
}

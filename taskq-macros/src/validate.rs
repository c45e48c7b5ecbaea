//! Checks the rules of a handler, one function each, and reports every one that is broken.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericParam, ReturnType, Type};

use crate::arguments;
use crate::errors::Errors;
use crate::model::{Krate, Task};
use crate::names;
use crate::options::Options;
use crate::parse::{Function, Shape};
use crate::tokens::{begins_a_path, mentions};

/// Makes a task of a function and its options, or says all that is wrong with them.
pub(crate) fn task<'a>(
    function: &'a Function,
    options: &'a Options,
    mut errors: Errors,
) -> Result<Task<'a>, Errors> {
    check_once(function, &mut errors);
    check_qualifiers(function, &mut errors);
    check_generics(function, &mut errors);
    check_output(function, &mut errors);
    check_self_type(function, &mut errors);
    check_body(function, &mut errors);
    let name = check_name(function, options, &mut errors);
    let aliases = check_aliases(&name, options, &mut errors);
    let payload = check_payload(function, options, &mut errors);
    let declared_lifetimes = declared_lifetimes(function);
    let arguments: Vec<_> = function
        .arguments
        .iter()
        .filter_map(|argument| arguments::route(argument, &declared_lifetimes, &mut errors))
        .collect();
    arguments::check_one_transaction(&arguments, &mut errors);
    match payload {
        Some(payload) if errors.is_empty() => Ok(Task {
            function,
            krate: Krate::of(options),
            payload,
            derives: &options.derives,
            name,
            aliases,
            queue: options.queue.as_ref().map(syn::LitStr::value),
            priority: options.priority,
            max_attempts: options.max_attempts,
            timeout: options.timeout,
            arguments,
        }),
        _ => Err(errors),
    }
}

fn check_once(function: &Function, errors: &mut Errors) {
    for attribute in function.attributes.iter().filter(|it| is_task(it)) {
        errors.at(
            attribute,
            "`#[task]` is given twice: write all options in one",
        );
    }
}

/// Tells whether an attribute is a further `#[task]`.
pub(crate) fn is_task(attribute: &syn::Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|part| part.ident == "task")
}

fn check_qualifiers(function: &Function, errors: &mut Errors) {
    let mut is_async = false;
    for qualifier in &function.qualifiers {
        match qualifier.keyword.to_string().as_str() {
            "async" => is_async = true,
            "extern" => errors.at(
                qualifier,
                "a handler is called by Rust alone: remove `extern`",
            ),
            "unsafe" => errors.at(
                qualifier,
                "a worker calls the handler and can promise nothing: remove `unsafe`, and keep \
                 unsafe code in the body",
            ),
            _ => errors.at(
                qualifier,
                format!("a handler is an `async fn`: remove `{}`", qualifier.keyword),
            ),
        }
    }
    if !is_async {
        errors.at(
            function.fn_token,
            "a handler is an `async fn`: write `async` before `fn`",
        );
    }
}

fn check_generics(function: &Function, errors: &mut Errors) {
    let generics = &function.generics;
    let only_lifetimes = generics
        .params
        .iter()
        .all(|param| matches!(param, GenericParam::Lifetime(_)));
    match (generics.lt_token, &function.where_clause) {
        (Some(_), _) if only_lifetimes => errors.at(
            generics,
            "a handler declares no lifetimes: remove them, and write `&T` and `&mut T`",
        ),
        (Some(_), _) => errors.at(
            generics,
            "a handler is not generic, since a row names no types: write the types out, or write \
             a handler for each that calls the generic function",
        ),
        (None, Some(clause)) => errors.at(
            clause,
            "a handler is not generic, so a `where` clause says nothing: remove it",
        ),
        (None, None) => {}
    }
}

fn check_output(function: &Function, errors: &mut Errors) {
    if let ReturnType::Type(_, ty) = &function.output
        && let Type::ImplTrait(_) = arguments::bare(ty)
    {
        errors.at(
            ty,
            "an `async fn` names what it returns in the end: write `()` or a `Result<T, E>`",
        );
    }
}

fn check_self_type(function: &Function, errors: &mut Errors) {
    let has_body = matches!(function.body, TokenTree::Group(_));
    if is_method(function) && has_body && !has_receiver(function) {
        errors.at(
            &function.ident,
            "a handler stands outside of any `impl`, where there is no `Self`: make it a function \
             of its own",
        );
    }
}

/// Tells whether the function shows that it stands in a trait or an `impl`, where none of the items
/// that are made of a handler can be.
pub(crate) fn is_method(function: &Function) -> bool {
    has_receiver(function)
        || matches!(function.body, TokenTree::Punct(_))
        || types(function).any(|tokens| mentions(tokens, &["Self"]))
}

fn has_receiver(function: &Function) -> bool {
    let mut arguments = function.arguments.iter();
    arguments.any(|argument| matches!(argument.shape, Shape::Receiver(_)))
}

fn check_body(function: &Function, errors: &mut Errors) {
    if let TokenTree::Punct(semicolon) = &function.body {
        errors.at(
            semicolon,
            "a handler is a function with a body, outside of any trait",
        );
    }
}

fn check_name(function: &Function, options: &Options, errors: &mut Errors) -> String {
    if let Some(name) = &options.name {
        return name.value();
    }
    let name = names::task_type(&function.ident);
    if let Some(problem) = names::problem(&name) {
        errors.at(
            &function.ident,
            format!("the name of a task type {problem}: give it one with `name = \"…\"`"),
        );
    }
    name
}

fn check_aliases(name: &str, options: &Options, errors: &mut Errors) -> Vec<String> {
    let mut aliases = Vec::new();
    for alias in &options.aliases {
        let text = alias.value();
        if text == name {
            errors.at(alias, format!("`{text}` is the name itself, not an alias"));
        } else if aliases.contains(&text) {
            errors.at(alias, format!("the alias `{text}` is given twice"));
        } else {
            aliases.push(text);
        }
    }
    aliases
}

fn check_payload(function: &Function, options: &Options, errors: &mut Errors) -> Option<Ident> {
    let payload = payload(function, options);
    match &payload {
        Some(payload) if is_taken(payload, function) => errors.at(
            options.payload.as_ref().unwrap_or(&function.ident),
            format!(
                "the payload would be called `{payload}`, as a type of the signature is: choose \
                 another name with `payload = Name`"
            ),
        ),
        Some(_) => {}
        None => errors.at(
            &function.ident,
            format!(
                "no struct can be named after `{}`: choose a name with `payload = Name`",
                function.ident
            ),
        ),
    }
    payload
}

/// Tells whether a type in the signature has the payload's name.
///
/// Where that type is an import of the prelude, such as `String`, the payload would take its place.
pub(crate) fn is_taken(payload: &Ident, function: &Function) -> bool {
    types(function).any(|tokens| begins_a_path(tokens, payload))
}

/// Returns the types of the arguments, and that of the return value.
fn types(function: &Function) -> impl Iterator<Item = TokenStream> {
    let arguments = function
        .arguments
        .iter()
        .filter_map(|argument| match &argument.shape {
            Shape::Named { ty, .. } | Shape::Pattern { ty, .. } => Some(ty.to_token_stream()),
            Shape::Receiver(_) | Shape::Variadic(_) => None,
        });
    arguments.chain([function.output.to_token_stream()])
}

/// Returns the name of the payload struct, unless there is none.
pub(crate) fn payload(function: &Function, options: &Options) -> Option<Ident> {
    options
        .payload
        .clone()
        .or_else(|| names::payload(&function.ident))
}

fn declared_lifetimes(function: &Function) -> Vec<String> {
    function
        .generics
        .lifetimes()
        .map(|param| param.lifetime.ident.to_string())
        .collect()
}

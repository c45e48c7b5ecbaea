//! The rules of the function itself.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Attribute, GenericParam, ReturnType, Type};

use crate::errors::Errors;
use crate::parse::{Function, Shape, bare};
use crate::tokens::mentions;

/// Checks all of them but those of its arguments.
pub(super) fn check(function: &Function, errors: &mut Errors) {
    check_once(function, errors);
    check_qualifiers(function, errors);
    check_generics(function, errors);
    check_output(function, errors);
    check_self_type(function, errors);
    check_body(function, errors);
}

fn check_once(function: &Function, errors: &mut Errors) {
    for attribute in function.attributes.iter().filter(|it| is_task(it)) {
        errors.at(
            attribute,
            "`#[task]` is given twice: write all options in one",
        );
    }
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
        && let Type::ImplTrait(_) = bare(ty)
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

fn check_body(function: &Function, errors: &mut Errors) {
    if let TokenTree::Punct(semicolon) = &function.body {
        errors.at(
            semicolon,
            "a handler is a function with a body, outside of any trait",
        );
    }
}

/// Tells whether an attribute is a further `#[task]`.
pub(crate) fn is_task(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|part| part.ident == "task")
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

/// Returns the types of the arguments, and that of the return value.
pub(super) fn types(function: &Function) -> impl Iterator<Item = TokenStream> {
    let arguments = function
        .arguments
        .iter()
        .filter_map(|argument| match &argument.shape {
            Shape::Named { ty, .. } | Shape::Pattern { ty, .. } => Some(ty.to_token_stream()),
            Shape::Receiver(_) | Shape::Variadic(_) => None,
        });
    arguments.chain([function.output.to_token_stream()])
}

pub(super) fn declared_lifetimes(function: &Function) -> Vec<String> {
    function
        .generics
        .lifetimes()
        .map(|param| param.lifetime.ident.to_string())
        .collect()
}

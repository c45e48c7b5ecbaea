//! Routes a handler's arguments by their shape, and refuses those that have none of the shapes.

use quote::ToTokens;
use syn::{Attribute, Meta, Type, TypeReference};

use crate::errors::Errors;
use crate::model::{Argument, Field};
use crate::names;
use crate::parse::{self, Shape};
use crate::tokens::{Borrow, borrows, mentions};

/// The attributes of rustc that an argument may have.
const LINT_LEVELS: [&str; 5] = ["allow", "deny", "expect", "forbid", "warn"];

/// Tells whether an attribute of an argument is left on the function.
pub(crate) fn stays_on_function(attribute: &Attribute) -> bool {
    LINT_LEVELS
        .iter()
        // Refused, but in force: what it leaves out may not even have a type.
        .chain(&["cfg", "cfg_attr"])
        .any(|rustc| attribute.path().is_ident(rustc))
}

/// Returns the type without the parentheses, visible or not, that stand around it.
pub(crate) fn bare(mut ty: &Type) -> &Type {
    loop {
        match ty {
            Type::Paren(paren) => ty = &paren.elem,
            Type::Group(group) => ty = &group.elem,
            _ => return ty,
        }
    }
}

/// Says what the worker gives for an argument, or collects why it can give nothing.
pub(crate) fn route<'a>(
    argument: &'a parse::Argument,
    declared_lifetimes: &[String],
    errors: &mut Errors,
) -> Option<Argument<'a>> {
    let (ident, ty) = match &argument.shape {
        Shape::Named { ident, ty, .. } => (ident, &**ty),
        other => {
            refuse_shape(other, errors);
            return None;
        }
    };
    check_impl_trait(ty, errors);
    let inject = injected(argument);
    let routed = match bare(ty) {
        Type::Reference(reference) => {
            check_explicit_lifetime(reference, declared_lifetimes, errors);
            check_borrowed_payload(reference, errors);
            if let Some(inject) = inject {
                errors.at(
                    inject,
                    "`#[inject]` gives an owned `Arc<T>`; worker state that is borrowed needs no \
                     attribute: remove `#[inject]`, or write `#[inject] x: Arc<T>`",
                );
            }
            match reference.mutability {
                Some(_) => Argument::Transaction(reference),
                None => Argument::State(bare(&reference.elem)),
            }
        }
        _ => {
            check_owned(ty, declared_lifetimes, errors);
            match inject {
                Some(_) => Argument::Injected(ty),
                None => Argument::Field(Field {
                    ident: names::field(ident),
                    ty,
                    attributes: field_attributes(argument),
                }),
            }
        }
    };
    check_attributes(&argument.attributes, &routed, errors);
    Some(routed)
}

/// Reports the second `&mut`, which has nothing that it could be.
pub(crate) fn check_one_transaction(arguments: &[Argument<'_>], errors: &mut Errors) {
    let transactions = arguments.iter().filter_map(|argument| match argument {
        Argument::Transaction(reference) => Some(reference),
        _ => None,
    });
    for second in transactions.skip(1) {
        errors.at(
            second,
            "a second `&mut`: a handler has one, its transaction; borrow worker state with `&`, \
             and take a payload field owned",
        );
    }
}

fn refuse_shape(shape: &Shape, errors: &mut Errors) {
    match shape {
        Shape::Receiver(whole) => errors.at(
            whole,
            "a handler has no `self`: make it a function of its own, and take worker state as `&T`",
        ),
        Shape::Variadic(whole) => errors.at(whole, "a handler's arguments are all named"),
        Shape::Pattern { pattern, .. } => errors.at(
            pattern,
            "an argument's name becomes a field of the payload: write `name: Type`, and take it \
             apart in the body",
        ),
        Shape::Named { .. } => {}
    }
}

fn injected(argument: &parse::Argument) -> Option<&Attribute> {
    argument
        .attributes
        .iter()
        .find(|attribute| attribute.path().is_ident("inject"))
}

fn field_attributes(argument: &parse::Argument) -> Vec<&Attribute> {
    argument
        .attributes
        .iter()
        .filter(|it| it.path().is_ident("serde") || it.path().is_ident("doc"))
        .collect()
}

fn check_impl_trait(ty: &Type, errors: &mut Errors) {
    if mentions(ty.to_token_stream(), &["impl"]) {
        errors.at(
            ty,
            "`impl Trait` is a type that the caller chooses, and a row chooses none: for worker \
             state take `&dyn Trait`, for a payload field a type",
        );
    }
}

fn check_explicit_lifetime(reference: &TypeReference, declared: &[String], errors: &mut Errors) {
    let Some(lifetime) = &reference.lifetime else {
        return;
    };
    let name = lifetime.ident.to_string();
    // A lifetime that the function declares is reported there.
    if name != "_" && !declared.contains(&name) {
        errors.at(
            lifetime,
            format!("a handler borrows for as long as it runs: remove `{lifetime}`"),
        );
    }
}

fn check_borrowed_payload(reference: &TypeReference, errors: &mut Errors) {
    if reference.mutability.is_some() {
        return;
    }
    match bare(&reference.elem) {
        Type::Path(path) if path.path.is_ident("str") => errors.at(
            reference,
            "a payload is decoded from a row and cannot be borrowed: take `String`",
        ),
        Type::Slice(slice) => errors.at(
            reference,
            format!(
                "a payload is decoded from a row and cannot be borrowed: take `Vec<{}>`",
                slice.elem.to_token_stream()
            ),
        ),
        _ => {}
    }
}

fn check_owned(ty: &Type, declared: &[String], errors: &mut Errors) {
    for borrow in borrows(ty.to_token_stream()) {
        match borrow {
            Borrow::Reference => {
                errors.at(
                    ty,
                    "a payload field cannot hold a reference: own what it refers to; worker state \
                     is `&T` itself, not inside another type",
                );
                return;
            }
            Borrow::Lifetime(name, whole) => {
                // `Cow<'static, str>` is owned. What the function declares is reported there.
                if name != "static" && !declared.contains(&name.to_string()) {
                    errors.at(
                        whole,
                        "a payload field cannot borrow: for the transaction take `&mut`, for \
                         worker state `&`, for a payload field a type without a lifetime",
                    );
                    return;
                }
            }
        }
    }
}

fn check_attributes(attributes: &[Attribute], routed: &Argument<'_>, errors: &mut Errors) {
    for attribute in attributes {
        let name = attribute.path().to_token_stream().to_string();
        match name.as_str() {
            "doc" => {}
            "serde" if matches!(routed, Argument::Field(_)) => {}
            "serde" => errors.at(
                attribute,
                "`#[serde]` goes on a payload field, and this argument is none: remove it",
            ),
            "inject" if matches!(attribute.meta, Meta::Path(_)) => {}
            "inject" => errors.at(attribute, "`#[inject]` takes nothing: write `#[inject]`"),
            "cfg" | "cfg_attr" => errors.at(
                attribute,
                format!(
                    "`#[{name}]` cannot be on an argument of a handler: put it on the function"
                ),
            ),
            lint if LINT_LEVELS.contains(&lint) => {}
            _ => errors.at(
                attribute,
                format!(
                    "unknown attribute `#[{name}]`: an argument of a handler may have `#[serde]`, \
                     `#[inject]` and documentation"
                ),
            ),
        }
    }
}

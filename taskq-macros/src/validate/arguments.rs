//! Routes a handler's arguments by their shape, and refuses those that have none of the shapes.

use quote::ToTokens;
use syn::{Attribute, Meta, Type, TypeReference};

use crate::errors::Errors;
use crate::model::{Argument, Field};
use crate::names;
use crate::parse::{self, Shape};
use crate::tokens::{Borrow, borrows, mentions};

/// The attributes of libraries that go to the payload field.
const FIELD_ATTRIBUTES: [&str; 3] = ["serde", "garde", "schemars"];

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

/// Tells whether JSON may leave a field out, as far as tokens show it.
pub(crate) fn may_be_missing(field: &Field<'_>) -> bool {
    const LEFT_OUT: [&str; 3] = ["default", "skip", "skip_deserializing"];
    let is_option = match bare(field.ty) {
        Type::Path(path) => (path.path.segments.last()).is_some_and(|it| it.ident == "Option"),
        _ => false,
    };
    let mut attributes = field.attributes.iter();
    is_option
        || attributes
            .any(|it| it.path().is_ident("serde") && mentions(it.to_token_stream(), &LEFT_OUT))
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
    let inject = marked(argument, "inject");
    let whole = marked(argument, "payload");
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
            if let Some(whole) = whole {
                errors.at(
                    whole,
                    "the payload is given to the handler to own: write `#[payload] m: T`, without `&`",
                );
            }
            match reference.mutability {
                Some(_) => Argument::Transaction(reference),
                None => Argument::State(bare(&reference.elem)),
            }
        }
        _ => {
            check_owned(ty, declared_lifetimes, errors);
            match (whole, inject) {
                (Some(whole), Some(_)) => {
                    errors.at(
                        whole,
                        "`#[inject]` is worker state and `#[payload]` is the payload: remove one",
                    );
                    Argument::Whole(ident)
                }
                (Some(_), None) => Argument::Whole(ident),
                (None, Some(_)) => Argument::Injected(ty),
                (None, None) => Argument::Field(Field {
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

/// Reports what cannot stand beside the payload as a whole, and returns its type.
pub(crate) fn check_whole<'a>(
    function: &'a parse::Function,
    errors: &mut Errors,
) -> Option<&'a Type> {
    let mut wholes = function.arguments.iter().filter_map(whole);
    let (first, _) = wholes.next()?;
    for (_, second) in wholes {
        errors.at(second, "a second `#[payload]`: a task has one, as a whole");
    }
    for argument in &function.arguments {
        if let Shape::Named { ident, ty, .. } = &argument.shape
            && !matches!(bare(ty), Type::Reference(_))
            && marked(argument, "payload").is_none()
            && marked(argument, "inject").is_none()
        {
            errors.at(
                ident,
                "beside `#[payload]`, which is the whole payload, there is no field for this \
                 argument: read it from the payload in the body",
            );
        }
    }
    Some(first)
}

/// Reports attributes that belong to a field where the field is declared elsewhere.
pub(crate) fn check_field_attributes_are_elsewhere(
    function: &parse::Function,
    errors: &mut Errors,
) {
    let attributes = function.arguments.iter().flat_map(|it| &it.attributes);
    for attribute in attributes.filter(|it| goes_to_the_field(it)) {
        let name = attribute.path().to_token_stream();
        errors.at(
            attribute,
            format!("the payload is declared elsewhere: write `#[{name}]` on its field there"),
        );
    }
}

fn whole(argument: &parse::Argument) -> Option<(&Type, &Attribute)> {
    let attribute = marked(argument, "payload")?;
    match &argument.shape {
        Shape::Named { ty, .. } => Some((ty, attribute)),
        _ => None,
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

/// Returns the attribute of this name, if the argument has it.
pub(crate) fn marked<'a>(argument: &'a parse::Argument, name: &str) -> Option<&'a Attribute> {
    argument
        .attributes
        .iter()
        .find(|attribute| attribute.path().is_ident(name))
}

fn field_attributes(argument: &parse::Argument) -> Vec<&Attribute> {
    argument
        .attributes
        .iter()
        .filter(|it| goes_to_the_field(it) || it.path().is_ident("doc"))
        .collect()
}

/// Tells whether an attribute is one of those that say something about a payload field.
pub(crate) fn goes_to_the_field(attribute: &Attribute) -> bool {
    FIELD_ATTRIBUTES
        .iter()
        .any(|name| attribute.path().is_ident(name))
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
            "garde" if !cfg!(feature = "garde") => errors.at(
                attribute,
                "`#[garde]` on an argument needs the feature `garde` of taskq: write `taskq = { …, \
                 features = [\"garde\"] }`",
            ),
            field if FIELD_ATTRIBUTES.contains(&field) => {
                if !matches!(routed, Argument::Field(_)) {
                    errors.at(
                        attribute,
                        format!(
                            "`#[{field}]` goes on a payload field, and this argument is none: remove it"
                        ),
                    );
                }
            }
            "payload" if matches!(attribute.meta, Meta::Path(_)) => {}
            "payload" => errors.at(attribute, "`#[payload]` takes nothing: write `#[payload]`"),
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
                     `#[garde]`, `#[schemars]`, `#[inject]`, `#[payload]` and documentation"
                ),
            ),
        }
    }
}

// `ui` is compiled with all features.
#[cfg(all(test, not(feature = "garde")))]
mod tests {
    use super::*;
    use crate::parse::Function;

    #[test]
    fn garde_on_an_argument_without_the_feature_is_refused_with_the_feature() {
        let function = "async fn invite(#[garde(length(max = 80))] name: String) {}";
        let function: Function = syn::parse_str(function).expect("a function");
        let mut errors = Errors::default();
        assert!(route(&function.arguments[0], &[], &mut errors).is_some());
        let said = errors.to_compile_errors().to_string();
        assert_eq!(said.matches("compile_error").count(), 1, "{said}");
        assert!(said.contains("`#[garde]` on an argument needs the feature `garde` of taskq"));
    }
}

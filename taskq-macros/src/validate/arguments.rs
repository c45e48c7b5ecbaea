//! Routes a handler's arguments by their shape, and refuses those that have none of the shapes.

use quote::ToTokens;
use syn::{Attribute, Type, TypeReference};

use super::attributes;
use crate::errors::Errors;
use crate::model::{Argument, Field};
use crate::names;
use crate::parse::{self, Shape, bare};
use crate::tokens::{Borrow, borrows, mentions};

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
    let inject = argument.marked("inject");
    let whole = argument.marked("payload");
    let many = argument.marked("batch");
    let routed = match bare(ty) {
        Type::Reference(reference) => {
            check_explicit_lifetime(reference, declared_lifetimes, errors);
            // Of many payloads, it was said.
            if many.is_none() {
                check_borrowed_payload(reference, errors);
            }
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
            if let Some(many) = many
                && (whole.is_some() || inject.is_some())
            {
                errors.at(
                    many,
                    "`#[batch]` is the payloads: remove the other attribute of this argument",
                );
            }
            match (whole, inject) {
                _ if many.is_some() => Argument::Many(ident),
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
                    attributes: attributes::of_field(argument),
                    secret: (argument.marked("encrypted")).or_else(|| argument.marked("secret")),
                }),
            }
        }
    };
    attributes::check(&argument.attributes, &routed, errors);
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
            && argument.marked("payload").is_none()
            && argument.marked("batch").is_none()
            && argument.marked("inject").is_none()
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

fn whole(argument: &parse::Argument) -> Option<(&Type, &Attribute)> {
    let attribute = argument.marked("payload")?;
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

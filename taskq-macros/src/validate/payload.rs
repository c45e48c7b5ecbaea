//! The rules of a payload: made of a handler's arguments, declared elsewhere, or derived.

use proc_macro2::Ident;
use syn::{Data, DeriveInput, Type};

use super::attributes;
use super::function::types;
use crate::errors::Errors;
use crate::model::{Limits, Payload, Stored};
use crate::names;
use crate::options::{Options, Subject};
use crate::parse::Function;
use crate::tokens::begins_a_path;

/// Checks a payload that is made of the handler's arguments.
pub(super) fn check_made<'a>(
    function: &Function,
    options: &'a Options,
    errors: &mut Errors,
) -> Option<Payload<'a>> {
    let name = match &options.name {
        Some(name) => name.value(),
        None => names::task_type(&function.ident),
    };
    check_default_name(&function.ident, &name, options, errors);
    let ident = check_payload(function, options, errors);
    if let Some(ident) = &ident {
        check_upgrades(ident, options, errors);
    }
    Some(Payload::Made {
        ident: ident?,
        derives: &options.derives,
        stored: Box::new(stored(name, options)),
    })
}

/// Checks a handler whose payload is declared elsewhere.
pub(super) fn check_foreign<'a>(
    ty: &'a Type,
    function: &Function,
    options: &Options,
    errors: &mut Errors,
) -> Option<Payload<'a>> {
    for key in options.about_the_payload() {
        let message = match key.to_string().as_str() {
            name @ ("payload" | "derive") => format!(
                "`{name}` is for a payload that is made of the arguments, and this one is \
                 declared elsewhere: remove it"
            ),
            name => format!(
                "the payload is declared elsewhere: write `{name}` there, in its `#[taskq(…)]`"
            ),
        };
        errors.at(key, message);
    }
    attributes::check_are_elsewhere(function, errors);
    let handler = names::handler_type(&function.ident);
    match &handler {
        Some(handler) if is_taken(handler, function) => errors.at(
            &function.ident,
            format!(
                "the task would be called `{handler}`, as a type of the signature is: rename the \
                 function"
            ),
        ),
        Some(_) => {}
        None => errors.at(
            &function.ident,
            format!(
                "no type can be named after `{}`: rename the function",
                function.ident
            ),
        ),
    }
    Some(Payload::Foreign {
        ty,
        handler: handler?,
    })
}

/// Checks that a type of the user's has no parameters.
pub(super) fn check_generics(input: &DeriveInput, errors: &mut Errors) {
    if input.generics.lt_token.is_some() {
        errors.at(
            &input.generics,
            "a payload is not generic, since a row names no types: write the types out, and own \
             what is borrowed",
        );
    }
}

/// Checks that each version before the newest has its way there, and no other has one.
pub(super) fn check_upgrades(payload: &Ident, options: &Options, errors: &mut Errors) {
    let number = options.version.as_ref().map_or(1, |it| it.number);
    match (&options.version, options.key("upgrade")) {
        (Some(version), None) if number > 1 => {
            let before = number - 1;
            errors.at(
                &version.tokens,
                format!(
                    "rows of version {before} may wait, and nothing says how to read them: add \
                     `upgrade = from_v{before}`, with `fn from_v{before}(old: {payload}V{before}) \
                     -> {payload}`"
                ),
            );
        }
        (None, Some(key)) if options.key("version").is_none() => errors.at(
            key,
            "`upgrade` reads payloads before the newest, and there is no version before 1: add \
             `version = 2`",
        ),
        _ => {}
    }
    if options.version.is_some() {
        let most = usize::from(number) - 1;
        let too_many = options.upgrades.len().saturating_sub(most);
        for step in &options.upgrades[..too_many] {
            errors.at(
                step,
                format!(
                    "before version {number} there are {most}, and each has one step to the next: \
                     remove this step, or raise `version`"
                ),
            );
        }
    }
}

/// Checks a task type's name where it is made of another.
pub(super) fn check_default_name(of: &Ident, name: &str, options: &Options, errors: &mut Errors) {
    if options.name.is_none()
        && let Some(problem) = names::problem(name)
    {
        errors.at(
            of,
            format!("the name of a task type {problem}: give it one with `name = \"…\"`"),
        );
    }
}

fn check_payload(function: &Function, options: &Options, errors: &mut Errors) -> Option<Ident> {
    let payload = payload_ident(function, options);
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

/// Gathers what is stored beside payloads of this type.
pub(super) fn stored(name: String, options: &Options) -> Stored<'_> {
    Stored {
        name,
        settings: options.settings(Subject::Payload).collect(),
        version: options.version.as_ref().map_or(1, |it| it.number),
        keeps_result: options.keeps_result || options.result.is_some(),
        upgrades: &options.upgrades,
        unique: None,
        limits: Limits::default(),
        secret: Vec::new(),
        encrypted: Vec::new(),
    }
}

/// Tells whether garde is told what values a field may have.
pub(super) fn is_validated(data: &Data) -> bool {
    let garde = |field: &syn::Field| field.attrs.iter().any(|it| it.path().is_ident("garde"));
    match data {
        Data::Struct(data) => data.fields.iter().any(garde),
        Data::Enum(data) => data.variants.iter().any(|it| it.fields.iter().any(garde)),
        Data::Union(_) => false,
    }
}

/// Tells whether a type in the signature has the payload's name.
///
/// Where that type is an import of the prelude, such as `String`, the payload would take its place.
pub(crate) fn is_taken(payload: &Ident, function: &Function) -> bool {
    types(function).any(|tokens| begins_a_path(tokens, payload))
}

/// Returns the name of the payload struct, unless there is none.
pub(crate) fn payload_ident(function: &Function, options: &Options) -> Option<Ident> {
    options
        .payload
        .clone()
        .or_else(|| names::payload(&function.ident))
}

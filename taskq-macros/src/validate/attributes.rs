//! The attributes of a handler's arguments: which there may be, and where they go.

use quote::ToTokens as _;
use syn::{Attribute, Meta};

use crate::errors::Errors;
use crate::model::Argument;
use crate::parse;

/// The attributes of libraries that go to the payload field.
const FIELD_ATTRIBUTES: [&str; 3] = ["serde", "garde", "schemars"];

/// The attributes of rustc that an argument may have.
const LINT_LEVELS: [&str; 5] = ["allow", "deny", "expect", "forbid", "warn"];

/// Reports attributes that an argument may not have.
pub(super) fn check(attributes: &[Attribute], routed: &Argument<'_>, errors: &mut Errors) {
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
            hidden @ ("secret" | "encrypted") => {
                if !matches!(routed, Argument::Field(_)) {
                    let message = format!(
                        "`#[{hidden}]` goes on a payload field, and this argument is none: remove it"
                    );
                    errors.at(attribute, message);
                } else if !matches!(attribute.meta, Meta::Path(_)) {
                    let message = format!("`#[{hidden}]` takes nothing: write `#[{hidden}]`");
                    errors.at(attribute, message);
                }
            }
            "payload" if matches!(attribute.meta, Meta::Path(_)) => {}
            "payload" => errors.at(attribute, "`#[payload]` takes nothing: write `#[payload]`"),
            // Read where the handler is found to be one of many payloads.
            "batch" => {}
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
                     `#[garde]`, `#[schemars]`, `#[inject]`, `#[payload]`, `#[batch]`, `#[secret]`, `#[encrypted]` and \
                     documentation"
                ),
            ),
        }
    }
}

/// Reports attributes that belong to a field where the field is declared elsewhere.
pub(super) fn check_are_elsewhere(function: &parse::Function, errors: &mut Errors) {
    let attributes = function.arguments.iter().flat_map(|it| &it.attributes);
    for attribute in attributes {
        for hidden in ["secret", "encrypted"] {
            if attribute.path().is_ident(hidden) {
                let message = format!(
                    "the payload is declared elsewhere: write `#[taskq({hidden})]` on its field there"
                );
                errors.at(attribute, message);
            }
        }
        if !goes_to_the_field(attribute) {
            continue;
        }
        let name = attribute.path().to_token_stream();
        errors.at(
            attribute,
            format!("the payload is declared elsewhere: write `#[{name}]` on its field there"),
        );
    }
}

/// Tells whether an attribute of an argument is left on the function.
pub(crate) fn stays_on_function(attribute: &Attribute) -> bool {
    LINT_LEVELS
        .iter()
        // Refused, but in force: what it leaves out may not even have a type.
        .chain(&["cfg", "cfg_attr"])
        .any(|rustc| attribute.path().is_ident(rustc))
}

/// Returns those attributes of an argument that its field is given.
pub(super) fn of_field(argument: &parse::Argument) -> Vec<&Attribute> {
    argument
        .attributes
        .iter()
        .filter(|it| goes_to_the_field(it) || it.path().is_ident("doc"))
        .collect()
}

/// Tells whether an attribute is one of those that say something about a payload field.
fn goes_to_the_field(attribute: &Attribute) -> bool {
    FIELD_ATTRIBUTES
        .iter()
        .any(|name| attribute.path().is_ident(name))
}

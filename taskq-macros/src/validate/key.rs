//! The fields of a payload that make a key: that there are such, and what they are called in JSON.

use proc_macro2::Ident;
use quote::ToTokens as _;
use syn::{Attribute, DeriveInput};

use crate::errors::Errors;
use crate::tokens::mentions;
use crate::wire::Names;

/// The fields of a payload, each with its attributes.
pub(super) type Fields<'a> = [(&'a Ident, Vec<&'a Attribute>)];

/// Finds the names that the fields of a key have in JSON.
pub(super) fn names(chosen: &[Ident], fields: &Fields<'_>, errors: &mut Errors) -> Vec<String> {
    let mut names = Vec::new();
    for (at, field) in chosen.iter().enumerate() {
        if chosen[..at].contains(field) {
            errors.at(field, format!("the field `{field}` is given twice"));
            continue;
        }
        let Some((ident, attributes)) = fields.iter().find(|(ident, _)| *ident == field) else {
            errors.at(field, unknown(field, fields));
            continue;
        };
        let name = Names::of(attributes.iter().copied());
        if let Some(attribute) = name.nameless {
            let message = format!(
                "the field `{field}` has no name of its own in the payload's JSON, because of `{attribute}`: a key \
                 cannot be made of it"
            );
            errors.at(field, message);
        }
        names.push(name.written(ident));
    }
    names
}

/// Refuses fields of a struct of the user's that serde renames all at once.
pub(super) fn check_names_of(
    input: &DeriveInput,
    chosen: Option<&Vec<Ident>>,
    way_out: &str,
    errors: &mut Errors,
) {
    let renames = |it: &&Attribute| {
        it.path().is_ident("serde") && mentions(it.to_token_stream(), &["rename_all"])
    };
    if let Some(first) = chosen.and_then(|fields| fields.first())
        && input.attrs.iter().any(|it| renames(&it))
    {
        let message = format!(
            "`rename_all` gives the fields other names in the payload's JSON: rename each of the key's fields by \
             itself{way_out}"
        );
        errors.at(first, message);
    }
}

fn unknown(field: &Ident, fields: &Fields<'_>) -> String {
    let names: Vec<_> = fields
        .iter()
        .map(|(ident, _)| format!("`{ident}`"))
        .collect();
    match names[..] {
        [] => format!("the payload has no field `{field}`: it has none with a name"),
        _ => format!(
            "the payload has no field `{field}`: it has {}",
            names.join(", ")
        ),
    }
}

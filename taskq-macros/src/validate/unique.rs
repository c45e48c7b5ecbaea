//! What `unique` may say of the fields that there are.

use proc_macro2::Ident;
use quote::ToTokens as _;
use syn::{Attribute, DeriveInput};

use crate::errors::Errors;
use crate::model::UniqueKey;
use crate::options::Options;
use crate::tokens::mentions;
use crate::wire::Names;

/// Finds the names that the fields of a key have in JSON.
pub(super) fn check<'a, 'f>(
    options: &'a Options,
    fields: &[(&'f Ident, Vec<&'f Attribute>)],
    errors: &mut Errors,
) -> Option<UniqueKey<'a>> {
    let unique = options.unique.as_ref()?;
    let Some(chosen) = &unique.fields else {
        return Some(UniqueKey {
            unique,
            names: None,
        });
    };
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
    Some(UniqueKey {
        unique,
        names: Some(names),
    })
}

/// Does the same for a payload that `derive(Payload)` stands on.
pub(super) fn check_derived<'a>(
    input: &DeriveInput,
    fields: Option<&[&syn::Field]>,
    options: &'a Options,
    errors: &mut Errors,
) -> Option<UniqueKey<'a>> {
    let chosen = options.unique.as_ref().and_then(|it| it.fields.as_ref());
    let renames = |it: &&Attribute| {
        it.path().is_ident("serde") && mentions(it.to_token_stream(), &["rename_all"])
    };
    if let Some(first) = chosen.and_then(|fields| fields.first())
        && input.attrs.iter().any(|it| renames(&it))
    {
        errors.at(
            first,
            "`rename_all` gives the fields other names in the payload's JSON: rename each of the key's fields by \
             itself, or make the key of the whole with `unique = \"payload\"`",
        );
    }
    let named = fields.unwrap_or_default().iter().filter_map(|field| {
        let ident = field.ident.as_ref()?;
        Some((ident, field.attrs.iter().collect()))
    });
    check(options, &named.collect::<Vec<_>>(), errors)
}

fn unknown(field: &Ident, fields: &[(&Ident, Vec<&Attribute>)]) -> String {
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

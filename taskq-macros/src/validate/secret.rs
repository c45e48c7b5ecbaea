//! What is secret in a payload, and what of it is encrypted: that such fields have names in JSON by which they are hidden, and
//! make no keys.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::{Attribute, Data, DeriveInput, Fields};

use crate::errors::Errors;
use crate::options::Options;
use crate::tokens::mentions;
use crate::wire::Names;

/// A field that is secret.
pub(super) struct SecretField<'a> {
    pub(super) ident: &'a Ident,
    /// What says that it is.
    pub(super) marked: &'a dyn ToTokens,
    pub(super) is_encrypted: bool,
    pub(super) attributes: Vec<&'a Attribute>,
}

/// The names of secret fields.
#[derive(Default)]
pub(super) struct SecretNames {
    pub(super) secret: Vec<String>,
    /// Those of them that are encrypted.
    pub(super) encrypted: Vec<String>,
}

/// Finds the names under which the secret fields may stand: in the JSON that is written and read, and in what says where a
/// mistake is, which may go by the names in Rust.
pub(super) fn check(
    secrets: &[SecretField<'_>],
    options: &Options,
    errors: &mut Errors,
) -> SecretNames {
    check_keys(secrets, options, errors);
    let mut found = SecretNames::default();
    for SecretField {
        ident,
        marked,
        is_encrypted,
        attributes,
    } in secrets
    {
        if *is_encrypted && !cfg!(feature = "encryption") {
            let message = "encrypted fields need the feature `encryption` of taskq: write `taskq = { …, features = \
                           [\"encryption\"] }`";
            errors.at(marked, message);
        }
        let names = Names::of(attributes.iter().copied());
        if let Some(attribute) = names.nameless {
            let message = format!(
                "the field `{ident}` has no name of its own in the payload's JSON, because of `{attribute}`: it cannot be \
                 hidden"
            );
            errors.at(marked, message);
        }
        let renames = |it: &&Attribute| {
            it.path().is_ident("serde") && mentions(it.to_token_stream(), &["rename"])
        };
        if names.renamed.is_none() && attributes.iter().any(renames) {
            let message =
                "a secret field has one name in the payload's JSON: write `rename = \"…\"`";
            errors.at(marked, message);
        }
        let written = names.written(ident);
        for name in [ident.unraw().to_string(), written]
            .into_iter()
            .chain(names.aliases)
        {
            if found.secret.contains(&name) {
                continue;
            }
            if *is_encrypted {
                found.encrypted.push(name.clone());
            }
            found.secret.push(name);
        }
    }
    found
}

/// Finds the secret fields of a payload that `derive(Payload)` stands on.
pub(super) fn of_derived<'a>(
    input: &'a DeriveInput,
    options: &'a Options,
    errors: &mut Errors,
) -> Vec<SecretField<'a>> {
    let named = match &input.data {
        Data::Struct(data) => matches!(data.fields, Fields::Named(_)),
        Data::Enum(_) | Data::Union(_) => false,
    };
    let whole = options.encrypted.as_ref();
    if let Some(whole) = whole.filter(|_| !named) {
        errors.at(
            whole,
            "what is encrypted are the fields of a struct, each by its name: make the payload one",
        );
    }
    let mut secrets = Vec::new();
    for field in fields(&input.data) {
        let attributes: Vec<_> = field.attrs.iter().collect();
        if let (Some(marked), Some(ident)) = (whole, &field.ident) {
            secrets.push(SecretField {
                ident,
                marked,
                is_encrypted: true,
                attributes: attributes.clone(),
            });
        }
        let marks = field.attrs.iter().filter(|it| it.path().is_ident("taskq"));
        for marked in marks {
            let word = marked
                .meta
                .require_list()
                .map(|list| list.tokens.to_string());
            let word = word.unwrap_or_default();
            match &field.ident {
                _ if !["secret", "encrypted"].contains(&&*word) => errors.at(
                    marked,
                    "a field's `#[taskq(…)]` says that it is secret, and nothing else: write `#[taskq(secret)]`, or \
                     `#[taskq(encrypted)]`; options go on the payload",
                ),
                Some(ident) if named => secrets.push(SecretField {
                    ident,
                    marked,
                    is_encrypted: word == "encrypted",
                    attributes: attributes.clone(),
                }),
                _ => errors.at(
                    marked,
                    "a secret field is one of a struct with named fields, by whose names it is hidden: make the payload one",
                ),
            }
        }
    }
    let renames = |it: &&Attribute| {
        let ways = ["rename_all", "into"];
        it.path().is_ident("serde") && mentions(it.to_token_stream(), &ways)
    };
    if let Some(first) = secrets.first()
        && input.attrs.iter().any(|it| renames(&it))
    {
        errors.at(
            first.marked,
            "`rename_all` and `into` give the fields other names in the payload's JSON, and a secret one is hidden by its \
             name: rename fields by themselves",
        );
    }
    secrets
}

fn fields(data: &Data) -> Vec<&syn::Field> {
    match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|it| &it.fields).collect(),
        Data::Union(data) => data.fields.named.iter().collect(),
    }
}

/// Refuses keys that are made of what is secret: they are stored and shown as they are.
fn check_keys(secrets: &[SecretField<'_>], options: &Options, errors: &mut Errors) {
    let Some(first) = secrets.first() else {
        return;
    };
    let unique = options.unique.as_ref();
    if unique.is_some_and(|unique| unique.fields.is_none()) {
        let key = options.key("unique").unwrap_or(first.ident);
        let message = format!(
            "the key would be made of `{}` too, which is secret, and keys are shown: name the other fields, as in \
             `unique(fields(usr_id))`",
            first.ident
        );
        errors.at(key, message);
    }
    let keys = [
        unique.and_then(|it| it.fields.as_ref()),
        options.concurrency.as_ref().and_then(|it| it.key.as_ref()),
        options.rate.as_ref().and_then(|it| it.key.as_ref()),
        options.sequence.as_ref().map(|it| &it.fields),
        options.fair.as_ref(),
    ];
    for field in keys.into_iter().flatten().flatten() {
        if secrets.iter().any(|secret| secret.ident == field) {
            let message = format!(
                "the field `{field}` is secret, and keys are shown: make the key of another"
            );
            errors.at(field, message);
        }
    }
}

//! What `unique` may say of the fields that there are.

use syn::DeriveInput;

use super::key::{self, Fields};
use crate::errors::Errors;
use crate::model::UniqueKey;
use crate::options::Options;

/// Finds the names that the fields of a key have in JSON.
pub(super) fn check<'a>(
    options: &'a Options,
    fields: &Fields<'_>,
    errors: &mut Errors,
) -> Option<UniqueKey<'a>> {
    let unique = options.unique.as_ref()?;
    let chosen = unique.fields.as_ref();
    let names = chosen.map(|chosen| key::names(chosen, fields, errors));
    Some(UniqueKey { unique, names })
}

/// Does the same for a payload that `derive(Payload)` stands on.
pub(super) fn check_derived<'a>(
    input: &DeriveInput,
    fields: &Fields<'_>,
    options: &'a Options,
    errors: &mut Errors,
) -> Option<UniqueKey<'a>> {
    let chosen = options.unique.as_ref().and_then(|it| it.fields.as_ref());
    let way_out = ", or make the key of the whole with `unique = \"payload\"`";
    key::check_names_of(input, chosen, way_out, errors);
    check(options, fields, errors)
}

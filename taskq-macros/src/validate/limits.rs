//! What `concurrency` and `rate` may say of the fields that there are, and of each other.

use proc_macro2::Ident;
use syn::DeriveInput;

use super::key::{self, Fields};
use crate::errors::Errors;
use crate::model::Limits;
use crate::options::Options;

/// Finds the names that the fields of the key have in JSON.
pub(super) fn check<'a>(
    options: &'a Options,
    fields: &Fields<'_>,
    errors: &mut Errors,
) -> Limits<'a> {
    let by_concurrency = options.concurrency.as_ref().and_then(|it| it.key.as_ref());
    let by_rate = options.rate.as_ref().and_then(|it| it.key.as_ref());
    if let (Some(one), Some(other)) = (by_concurrency, by_rate)
        && one != other
    {
        errors.at(
            &other[0],
            "`concurrency` and `rate` are by different keys, and a task has one: name the same fields in both, or leave \
             out the key of one",
        );
    }
    let key = by_concurrency.or(by_rate);
    if let (Some(key), true) = (key, options.is_random()) {
        errors.at(
            &key[0],
            "of each key the oldest task starts first: leave out `order = \"random\"`, or limit the task type without `key`",
        );
    }
    Limits {
        concurrency: options.concurrency.as_ref(),
        rate: options.rate.as_ref(),
        names: key.map(|key| key::names(key, fields, errors)),
    }
}

/// Does the same for a payload that `derive(Payload)` stands on.
pub(super) fn check_derived<'a>(
    input: &DeriveInput,
    fields: &Fields<'_>,
    options: &'a Options,
    errors: &mut Errors,
) -> Limits<'a> {
    let keys = [
        options.concurrency.as_ref().and_then(|it| it.key.as_ref()),
        options.rate.as_ref().and_then(|it| it.key.as_ref()),
    ];
    let chosen: Option<&Vec<Ident>> = keys.into_iter().flatten().next();
    key::check_names_of(input, chosen, "", errors);
    check(options, fields, errors)
}

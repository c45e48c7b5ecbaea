//! What `concurrency`, `rate`, `sequence` and `fair` may say of the fields that there are, and of each other.

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
    let in_sequence = options.sequence.as_ref().map(|it| &it.fields);
    if let (Some(key), true) = (by_concurrency.or(by_rate), options.is_random()) {
        errors.at(
            &key[0],
            "of each key the oldest task starts first: leave out `order = \"random\"`, or limit the task type without `key`",
        );
    }
    check_sequence(options, errors);
    check_fair(options, errors);
    let fair = options.fair.as_ref();
    let key = in_sequence.or(by_concurrency).or(by_rate).or(fair);
    Limits {
        concurrency: options.concurrency.as_ref(),
        rate: options.rate.as_ref(),
        sequence: options.sequence.as_ref(),
        on_dead: options.on_dead,
        is_fair: fair.is_some(),
        names: key.map(|key| key::names(key, fields, errors)),
    }
}

/// Checks what a sequence says against what else is said of its key.
fn check_sequence(options: &Options, errors: &mut Errors) {
    let Some(sequence) = &options.sequence else {
        if let (Some(key), false) = (options.key("on_dead"), options.key("sequence").is_some()) {
            errors.at(
                key,
                "`on_dead` is about a sequence, and there is none: add `sequence = order_id`, with the field whose tasks run \
                 one after the other",
            );
        }
        return;
    };
    let key = options.key("sequence").unwrap_or(&sequence.fields[0]);
    if options.is_random() {
        errors.at(
            key,
            "a sequence runs in the order in which its tasks were enqueued: leave out `order = \"random\"`, or `sequence`",
        );
    }
    if let Some(other) = options.concurrency.as_ref().and_then(|it| it.key.as_ref()) {
        errors.at(
            &other[0],
            "of each key of a sequence one task runs at a time: leave out `concurrency`, or limit the whole type with \
             `concurrency = 10`",
        );
    }
    if let Some(other) = options.rate.as_ref().and_then(|it| it.key.as_ref())
        && *other != sequence.fields
    {
        errors.at(
            &other[0],
            "`rate` and `sequence` are by different keys, and a task has one: name the same fields in both, or leave out \
             the key of the rate",
        );
    }
}

/// Checks what is said of turns against what else is said of keys.
fn check_fair(options: &Options, errors: &mut Errors) {
    let Some(fields) = &options.fair else {
        return;
    };
    let key = options.key("fair").unwrap_or(&fields[0]);
    if options.is_random() {
        errors.at(
            key,
            "keys that take turns start their oldest task first: leave out `order = \"random\"`, or `fair`",
        );
    }
    if options.sequence.is_some() {
        errors.at(
            key,
            "of each key of a sequence one task runs at a time, so none needs turns: leave out `fair`, or `sequence`",
        );
        return;
    }
    let by_concurrency = options.concurrency.as_ref().and_then(|it| it.key.as_ref());
    let by_rate = options.rate.as_ref().and_then(|it| it.key.as_ref());
    let mut others = by_concurrency.into_iter().chain(by_rate);
    if let Some(other) = others.find(|other| *other != fields) {
        errors.at(
            &other[0],
            "this key is not that of `fair`, and a task has one: name the same fields in both, or limit the task type \
             without `key`",
        );
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
        options.sequence.as_ref().map(|it| &it.fields),
        options.concurrency.as_ref().and_then(|it| it.key.as_ref()),
        options.rate.as_ref().and_then(|it| it.key.as_ref()),
        options.fair.as_ref(),
    ];
    let chosen: Option<&Vec<Ident>> = keys.into_iter().flatten().next();
    key::check_names_of(input, chosen, "", errors);
    check(options, fields, errors)
}

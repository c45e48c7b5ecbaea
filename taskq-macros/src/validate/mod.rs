//! Checks the rules of a handler or a payload, one function each, and reports every one that is broken.

mod arguments;
mod attributes;
mod batch;
mod function;
mod key;
mod limits;
mod payload;
mod secret;
mod unique;

use syn::{Data, DeriveInput, Fields, ReturnType, Type};

use crate::errors::Errors;
use crate::krate::Krate;
use crate::model::{Argument, Derived, Named, Payload, Stored, Task};
use crate::names;
use crate::options::{BESIDE_CRON, Options, Subject};
use crate::parse::Function;

use self::secret::SecretField;

pub(crate) use self::attributes::stays_on_function;
pub(crate) use self::batch::is_meant as is_batch_meant;
pub(crate) use self::function::{is_method, is_task};
pub(crate) use self::payload::{is_taken, payload_ident};

/// The options that may name a function, each with the constant of `Task` that has it and the type of that.
const FUNCTIONS: [[&str; 3]; 3] = [
    ["on_discard", "ON_DISCARD", "DiscardFn"],
    ["retry", "RETRY", "RetryFn"],
    ["timeout", "TIMEOUT", "TimeoutFn"],
];

/// Makes a task of a function and its options, or says all that is wrong with them.
pub(crate) fn task<'a>(
    function: &'a Function,
    options: &'a Options,
    mut errors: Errors,
) -> Result<Task<'a>, Errors> {
    function::check(function, &mut errors);
    let whole = arguments::check_whole(function, &mut errors);
    let batch = batch::check(function, options, &mut errors);
    let foreign = batch.as_ref().map(|it| it.payload);
    let foreign = foreign.or(options.handles.as_ref()).or(whole);
    let mut payload = match foreign {
        Some(ty) => payload::check_foreign(ty, function, options, &mut errors),
        // Given, and wrong: that was said.
        None if options.key("handles").is_some() || is_batch_meant(function) => None,
        None => payload::check_made(function, options, &mut errors),
    };
    let aliases = check_aliases(payload.as_ref(), options, &mut errors);
    let kept = check_kept(function, options, &mut errors);
    let declared_lifetimes = function::declared_lifetimes(function);
    let arguments: Vec<_> = function
        .arguments
        .iter()
        .filter_map(|argument| arguments::route(argument, &declared_lifetimes, &mut errors))
        .collect();
    arguments::check_one_transaction(&arguments, &mut errors);
    check_cron(options, &arguments, &mut errors);
    if let Some(Payload::Made { stored, .. }) = &mut payload {
        let fields = arguments.iter().filter_map(|argument| match argument {
            Argument::Field(field) => Some((&field.ident, field.attributes.clone())),
            _ => None,
        });
        let fields: Vec<_> = fields.collect();
        stored.unique = unique::check(options, &fields, &mut errors);
        stored.limits = limits::check(options, &fields, &mut errors);
        let names = secret::check(&secrets(&arguments, options), options, &mut errors);
        (stored.secret, stored.encrypted) = (names.secret, names.encrypted);
    }
    match payload {
        Some(payload) if errors.is_empty() => Ok(Task {
            function,
            krate: Krate::of(options),
            payload,
            aliases,
            settings: options.settings(Subject::Handler).collect(),
            functions: named(options),
            schedule: &options.schedule,
            kept,
            batch,
            arguments,
        }),
        _ => Err(errors),
    }
}

/// Makes a payload of what `derive(Payload)` stands on, or says all that is wrong with it.
pub(crate) fn payload<'a>(
    input: &'a DeriveInput,
    options: &'a Options,
    mut errors: Errors,
) -> Result<Derived<'a>, Errors> {
    payload::check_generics(input, &mut errors);
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(fields.named.iter().collect()),
            Fields::Unnamed(_) | Fields::Unit => None,
        },
        Data::Enum(_) => None,
        Data::Union(data) => {
            errors.at(
                data.union_token,
                "a payload is written as JSON, and a union cannot be: make it a struct or an enum",
            );
            None
        }
    };
    let name = match &options.name {
        Some(name) => name.value(),
        None => names::task_type_of_payload(&input.ident),
    };
    payload::check_default_name(&input.ident, &name, options, &mut errors);
    payload::check_upgrades(&input.ident, options, &mut errors);
    let named = fields.iter().flatten().filter_map(|field: &&syn::Field| {
        let ident = field.ident.as_ref()?;
        Some((ident, field.attrs.iter().collect()))
    });
    let named: Vec<_> = named.collect();
    let unique = unique::check_derived(input, &named, options, &mut errors);
    let limits = limits::check_derived(input, &named, options, &mut errors);
    let secrets = secret::of_derived(input, options, &mut errors);
    let secrets = secret::check(&secrets, options, &mut errors);
    let is_validated = payload::is_validated(&input.data);
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Derived {
        ident: &input.ident,
        visibility: &input.vis,
        krate: Krate::of(options),
        stored: Stored {
            unique,
            limits,
            secret: secrets.secret,
            encrypted: secrets.encrypted,
            ..payload::stored(name, options)
        },
        fields,
        is_validated,
        result: options.result.as_ref(),
    })
}

fn secrets<'a>(arguments: &'a [Argument<'_>], options: &'a Options) -> Vec<SecretField<'a>> {
    let whole = options.encrypted.as_ref();
    let fields = arguments.iter().filter_map(|argument| match argument {
        Argument::Field(field) => Some(field),
        _ => None,
    });
    let secrets = fields.filter_map(|field| {
        let marked = field.secret;
        let is_encrypted = marked.is_some_and(|it| it.path().is_ident("encrypted"));
        Some(SecretField {
            ident: &field.ident,
            marked: match (whole, marked) {
                (Some(whole), _) => whole,
                (None, marked) => marked?,
            },
            is_encrypted: whole.is_some() || is_encrypted,
            attributes: field.attributes.clone(),
        })
    });
    secrets.collect()
}

fn named(options: &Options) -> Vec<Named<'_>> {
    let named = FUNCTIONS.iter().filter_map(|[option, constant, ty]| {
        let path = options.function(option)?;
        Some(Named { constant, ty, path })
    });
    named.collect()
}

fn check_aliases(
    payload: Option<&Payload<'_>>,
    options: &Options,
    errors: &mut Errors,
) -> Vec<String> {
    let name = match payload {
        Some(Payload::Made { stored, .. }) => Some(&stored.name),
        // Its name is not known here; a worker does not start with one name for two.
        Some(Payload::Foreign { .. }) | None => None,
    };
    let mut aliases = Vec::new();
    for alias in &options.aliases {
        let text = alias.value();
        if Some(&text) == name {
            errors.at(alias, format!("`{text}` is the name itself, not an alias"));
        } else if aliases.contains(&text) {
            errors.at(alias, format!("the alias `{text}` is given twice"));
        } else {
            aliases.push(text);
        }
    }
    aliases
}

/// Returns the type of which the result is kept, if it is.
fn check_kept<'a>(
    function: &'a Function,
    options: &Options,
    errors: &mut Errors,
) -> Option<&'a Type> {
    match (&function.output, options.key("result")) {
        (ReturnType::Default, Some(key)) => {
            errors.at(
                key,
                "`result` keeps what the handler returns, and this one returns nothing: write `-> \
                 Result<T, E>`, or remove `result`",
            );
            None
        }
        (ReturnType::Type(..), Some(_)) if options.keeps_result && options.leaves_nothing() => {
            if let Some(key) = options.key("keep") {
                errors.at(
                    key,
                    "a result is kept with its completed task, and `none` keeps no completed tasks: \
                     write for how long, such as `keep = \"7d\"`, or remove `result`",
                );
            }
            None
        }
        (ReturnType::Type(_, ty), _) => options.keeps_result.then_some(&**ty),
        (ReturnType::Default, None) => None,
    }
}

/// Checks what says when a schedule ticks, and that a task which it enqueues, with no payload, needs none.
fn check_cron(options: &Options, arguments: &[Argument<'_>], errors: &mut Errors) {
    let Some(key) = options.key("cron") else {
        for key in BESIDE_CRON.iter().filter_map(|name| options.key(name)) {
            let message = format!(
                "`{key}` is about a schedule, and there is none: add `cron = \"0 3 * * *\"`"
            );
            errors.at(key, message);
        }
        return;
    };
    if !cfg!(feature = "cron") {
        errors.at(
            key,
            "`cron` needs the feature `cron` of taskq: write `taskq = { …, features = [\"cron\"] }`",
        );
    }
    if let Some(key) = options.key("catch_up_within")
        && options.schedule.contradicts_itself()
    {
        errors.at(
            key,
            "`catch_up_within` says what is caught up, and `catch_up = \"none\"` catches nothing up: remove one of them",
        );
    }
    for argument in arguments {
        if let Argument::Field(field) = argument
            && !arguments::may_be_missing(field)
        {
            errors.at(
                &field.ident,
                format!(
                    "a task with `cron` is enqueued with the payload `{{}}`, which has no `{}`: \
                     write `#[serde(default)]` on the argument, or make it an `Option`; a schedule with a \
                     payload is made by `taskq::schedules(…).upsert(…)`",
                    field.ident
                ),
            );
        }
    }
}

//! Checks the rules of a handler or a payload, one function each, and reports every one that is broken.

pub(crate) mod arguments;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Data, DeriveInput, Fields, GenericParam, ReturnType, Type};

use crate::errors::Errors;
use crate::model::{Argument, Derived, Krate, Payload, Stored, Task};
use crate::names;
use crate::options::Options;
use crate::parse::{Function, Shape};
use crate::tokens::{begins_a_path, mentions};

/// Makes a task of a function and its options, or says all that is wrong with them.
pub(crate) fn task<'a>(
    function: &'a Function,
    options: &'a Options,
    mut errors: Errors,
) -> Result<Task<'a>, Errors> {
    check_once(function, &mut errors);
    check_qualifiers(function, &mut errors);
    check_generics(function, &mut errors);
    check_output(function, &mut errors);
    check_self_type(function, &mut errors);
    check_body(function, &mut errors);
    let whole = arguments::check_whole(function, &mut errors);
    let payload = match options.handles.as_ref().or(whole) {
        Some(ty) => check_foreign(ty, function, options, &mut errors),
        // Given, and wrong: that was said.
        None if options.key("handles").is_some() => None,
        None => check_made(function, options, &mut errors),
    };
    let aliases = check_aliases(payload.as_ref(), options, &mut errors);
    let kept = check_kept(function, options, &mut errors);
    let declared_lifetimes = declared_lifetimes(function);
    let arguments: Vec<_> = function
        .arguments
        .iter()
        .filter_map(|argument| arguments::route(argument, &declared_lifetimes, &mut errors))
        .collect();
    arguments::check_one_transaction(&arguments, &mut errors);
    check_cron(options, &arguments, &mut errors);
    match payload {
        Some(payload) if errors.is_empty() => Ok(Task {
            function,
            krate: Krate::of(options),
            payload,
            aliases,
            timeout: options.timeout,
            kept,
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
    check_payload_generics(input, &mut errors);
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
    check_default_name(&input.ident, &name, options, &mut errors);
    check_upgrades(&input.ident, options, &mut errors);
    let is_validated = is_validated(&input.data);
    match errors.is_empty() {
        true => Ok(Derived {
            ident: &input.ident,
            visibility: &input.vis,
            krate: Krate::of(options),
            stored: stored(name, options),
            fields,
            is_validated,
            result: options.result.as_ref(),
        }),
        false => Err(errors),
    }
}

fn check_payload_generics(input: &DeriveInput, errors: &mut Errors) {
    if input.generics.lt_token.is_some() {
        errors.at(
            &input.generics,
            "a payload is not generic, since a row names no types: write the types out, and own \
             what is borrowed",
        );
    }
}

/// Tells whether garde is told what values a field may have.
fn is_validated(data: &Data) -> bool {
    let garde = |field: &syn::Field| field.attrs.iter().any(|it| it.path().is_ident("garde"));
    match data {
        Data::Struct(data) => data.fields.iter().any(garde),
        Data::Enum(data) => data.variants.iter().any(|it| it.fields.iter().any(garde)),
        Data::Union(_) => false,
    }
}

/// Checks a payload that is made of the handler's arguments.
fn check_made<'a>(
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
        stored: stored(name, options),
    })
}

fn stored(name: String, options: &Options) -> Stored<'_> {
    Stored {
        name,
        queue: options.queue.as_ref().map(syn::LitStr::value),
        priority: options.priority,
        max_attempts: options.max_attempts,
        version: options.version.as_ref().map_or(1, |it| it.number),
        keeps_result: options.keeps_result || options.result.is_some(),
        upgrades: &options.upgrades,
    }
}

/// Checks a handler whose payload is declared elsewhere.
fn check_foreign<'a>(
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
    arguments::check_field_attributes_are_elsewhere(function, errors);
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

/// Checks that each version before the newest has its way there, and no other has one.
fn check_upgrades(payload: &Ident, options: &Options, errors: &mut Errors) {
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

/// Checks that a task which is enqueued by the clock, with no payload, needs none; and says that no clock
/// does so yet.
fn check_cron(options: &Options, arguments: &[Argument<'_>], errors: &mut Errors) {
    let Some(key) = options.key("cron") else {
        return;
    };
    errors.at(
        key,
        "taskq has no scheduler yet, so there is no option `cron`: let something that keeps the \
         time enqueue the task, such as a loop in your program, or the machine's cron with `insert \
         into taskq.task (task_type) values ('…')`",
    );
    for argument in arguments {
        if let Argument::Field(field) = argument
            && !arguments::may_be_missing(field)
        {
            errors.at(
                &field.ident,
                format!(
                    "a task with `cron` is enqueued with the payload `{{}}`, which has no `{}`: \
                     write `#[serde(default)]` on the argument, or make it an `Option`",
                    field.ident
                ),
            );
        }
    }
}

fn check_once(function: &Function, errors: &mut Errors) {
    for attribute in function.attributes.iter().filter(|it| is_task(it)) {
        errors.at(
            attribute,
            "`#[task]` is given twice: write all options in one",
        );
    }
}

/// Tells whether an attribute is a further `#[task]`.
pub(crate) fn is_task(attribute: &syn::Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|part| part.ident == "task")
}

fn check_qualifiers(function: &Function, errors: &mut Errors) {
    let mut is_async = false;
    for qualifier in &function.qualifiers {
        match qualifier.keyword.to_string().as_str() {
            "async" => is_async = true,
            "extern" => errors.at(
                qualifier,
                "a handler is called by Rust alone: remove `extern`",
            ),
            "unsafe" => errors.at(
                qualifier,
                "a worker calls the handler and can promise nothing: remove `unsafe`, and keep \
                 unsafe code in the body",
            ),
            _ => errors.at(
                qualifier,
                format!("a handler is an `async fn`: remove `{}`", qualifier.keyword),
            ),
        }
    }
    if !is_async {
        errors.at(
            function.fn_token,
            "a handler is an `async fn`: write `async` before `fn`",
        );
    }
}

fn check_generics(function: &Function, errors: &mut Errors) {
    let generics = &function.generics;
    let only_lifetimes = generics
        .params
        .iter()
        .all(|param| matches!(param, GenericParam::Lifetime(_)));
    match (generics.lt_token, &function.where_clause) {
        (Some(_), _) if only_lifetimes => errors.at(
            generics,
            "a handler declares no lifetimes: remove them, and write `&T` and `&mut T`",
        ),
        (Some(_), _) => errors.at(
            generics,
            "a handler is not generic, since a row names no types: write the types out, or write \
             a handler for each that calls the generic function",
        ),
        (None, Some(clause)) => errors.at(
            clause,
            "a handler is not generic, so a `where` clause says nothing: remove it",
        ),
        (None, None) => {}
    }
}

fn check_output(function: &Function, errors: &mut Errors) {
    if let ReturnType::Type(_, ty) = &function.output
        && let Type::ImplTrait(_) = arguments::bare(ty)
    {
        errors.at(
            ty,
            "an `async fn` names what it returns in the end: write `()` or a `Result<T, E>`",
        );
    }
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
        (ReturnType::Type(_, ty), _) => options.keeps_result.then_some(&**ty),
        (ReturnType::Default, None) => None,
    }
}

fn check_self_type(function: &Function, errors: &mut Errors) {
    let has_body = matches!(function.body, TokenTree::Group(_));
    if is_method(function) && has_body && !has_receiver(function) {
        errors.at(
            &function.ident,
            "a handler stands outside of any `impl`, where there is no `Self`: make it a function \
             of its own",
        );
    }
}

/// Tells whether the function shows that it stands in a trait or an `impl`, where none of the items
/// that are made of a handler can be.
pub(crate) fn is_method(function: &Function) -> bool {
    has_receiver(function)
        || matches!(function.body, TokenTree::Punct(_))
        || types(function).any(|tokens| mentions(tokens, &["Self"]))
}

fn has_receiver(function: &Function) -> bool {
    let mut arguments = function.arguments.iter();
    arguments.any(|argument| matches!(argument.shape, Shape::Receiver(_)))
}

fn check_body(function: &Function, errors: &mut Errors) {
    if let TokenTree::Punct(semicolon) = &function.body {
        errors.at(
            semicolon,
            "a handler is a function with a body, outside of any trait",
        );
    }
}

fn check_default_name(of: &Ident, name: &str, options: &Options, errors: &mut Errors) {
    if options.name.is_none()
        && let Some(problem) = names::problem(name)
    {
        errors.at(
            of,
            format!("the name of a task type {problem}: give it one with `name = \"…\"`"),
        );
    }
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

/// Tells whether a type in the signature has the payload's name.
///
/// Where that type is an import of the prelude, such as `String`, the payload would take its place.
pub(crate) fn is_taken(payload: &Ident, function: &Function) -> bool {
    types(function).any(|tokens| begins_a_path(tokens, payload))
}

/// Returns the types of the arguments, and that of the return value.
fn types(function: &Function) -> impl Iterator<Item = TokenStream> {
    let arguments = function
        .arguments
        .iter()
        .filter_map(|argument| match &argument.shape {
            Shape::Named { ty, .. } | Shape::Pattern { ty, .. } => Some(ty.to_token_stream()),
            Shape::Receiver(_) | Shape::Variadic(_) => None,
        });
    arguments.chain([function.output.to_token_stream()])
}

/// Returns the name of the payload struct, unless there is none.
pub(crate) fn payload_ident(function: &Function, options: &Options) -> Option<Ident> {
    options
        .payload
        .clone()
        .or_else(|| names::payload(&function.ident))
}

fn declared_lifetimes(function: &Function) -> Vec<String> {
    function
        .generics
        .lifetimes()
        .map(|param| param.lifetime.ident.to_string())
        .collect()
}

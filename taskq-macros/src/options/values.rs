//! Reads the value of one option, and refuses what the option cannot be.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::{LitInt, LitStr, Path, Token, Type};

use super::declared::{Value, Version};
use super::duration;
use super::given::{GivenOption, GivenValue};
use super::retry;
use crate::names;

/// Reads the name of a task type.
pub(super) fn name(given: &GivenOption) -> syn::Result<LitStr> {
    let name = given.assigned("a string")?;
    check_name(&given.key, &name)?;
    Ok(name)
}

/// Reads one name, or several in brackets.
pub(super) fn names(given: &GivenOption) -> syn::Result<Vec<LitStr>> {
    let Names(names) = given.assigned("a string or several, as in `alias = [\"a\", \"b\"]`")?;
    for name in &names {
        check_name(&given.key, name)?;
    }
    Ok(names)
}

/// Reads the name of a queue.
pub(super) fn queue(given: &GivenOption) -> syn::Result<Value> {
    name(given).map(Value::Text)
}

/// Reads a priority.
pub(super) fn priority(given: &GivenOption) -> syn::Result<Value> {
    integer(given).map(Value::Signed)
}

/// Reads how often something may be: attempts, snoozes.
pub(super) fn at_least_one(given: &GivenOption) -> syn::Result<Value> {
    match integer(given)? {
        0 => Err(given.wrong_value(&format!("`{}` must be at least 1", given.key))),
        number => Ok(Value::Unsigned(number)),
    }
}

/// Reads the version of a payload.
pub(super) fn version(given: &GivenOption) -> syn::Result<Version> {
    match integer(given)? {
        // A row holds it in sixteen bits, with a sign.
        number if number == 0 || number > i16::MAX.unsigned_abs() => {
            let message = format!("`version` must be between 1 and {}", i16::MAX);
            Err(given.wrong_value(&message))
        }
        number => Ok(Version {
            number,
            tokens: given.value.tokens().clone(),
        }),
    }
}

/// Reads the functions that bring older payloads up to date: one, or several in brackets.
pub(super) fn upgrades(given: &GivenOption) -> syn::Result<Vec<Path>> {
    let takes = "a function, or several as in `upgrade = [from_v1, from_v2]`";
    let Paths(paths) = given.assigned(takes)?;
    if paths.is_empty() {
        return Err(given.wrong_kind(takes));
    }
    Ok(paths)
}

/// Reads how a failed task waits: a text, or the name of a function.
pub(super) fn retry(given: &GivenOption) -> syn::Result<Said> {
    let takes = "a way to wait in a string, or the name of a function, as in `retry = my_backoff`";
    match given.assigned(takes)? {
        TextOrFunction::Function(path) => Ok(Said::Function(path)),
        TextOrFunction::Value(text) => match retry::parse(&text.value()) {
            Ok(retry) => Ok(Said::Value(Value::Retry(retry))),
            Err(problem) => Err(syn::Error::new_spanned(
                &text,
                format!("`retry`: {problem}"),
            )),
        },
    }
}

/// Reads how long an attempt may take: a duration, or the name of a function.
pub(super) fn timeout(given: &GivenOption) -> syn::Result<Said> {
    let takes = "a duration in a string, or the name of a function, as in `timeout = my_timeout`";
    match given.assigned(takes)? {
        TextOrFunction::Function(path) => Ok(Said::Function(path)),
        TextOrFunction::Value(text) => {
            duration_of(&given.key, &text).map(|it| Said::Value(Value::Duration(it)))
        }
    }
}

fn duration_of(key: &Ident, text: &LitStr) -> syn::Result<Duration> {
    duration::parse(&text.value()).map_err(|problem| {
        syn::Error::new_spanned(text, problem.message(&key.to_string(), &text.value()))
    })
}

/// Reads the name of a function.
pub(super) fn function(given: &GivenOption) -> syn::Result<Said> {
    let takes = "the name of a function";
    match given.assigned(takes)? {
        TextOrFunction::Function(path) => Ok(Said::Function(path)),
        TextOrFunction::Value(_) => Err(given.wrong_kind(takes)),
    }
}

/// Reads the type of a payload that is declared elsewhere.
pub(super) fn handles(given: &GivenOption) -> syn::Result<Type> {
    let takes = "the type of a payload";
    match given.assigned(takes)? {
        ty @ Type::Path(_) => Ok(ty),
        _ => Err(given.wrong_kind(takes)),
    }
}

/// Reads a duration.
pub(super) fn duration(given: &GivenOption) -> syn::Result<Value> {
    let text = given.assigned("a duration in a string")?;
    duration_of(&given.key, &text).map(Value::Duration)
}

/// Reads in what order tasks run.
pub(super) fn order(given: &GivenOption) -> syn::Result<Value> {
    let word: LitStr = given.assigned("a string")?;
    match word.value().as_str() {
        "random" => Ok(Value::Random(true)),
        "oldest" => Ok(Value::Random(false)),
        "fair" => Err(syn::Error::new_spanned(
            &word,
            "keys take turns by a field: write `fair = tenant_id` in the place of `order`",
        )),
        other => Err(syn::Error::new_spanned(
            &word,
            format!("`order` is `\"oldest\"`, unless it is `\"random\"`; not `{other}`"),
        )),
    }
}

/// Reads that the handler's result is kept. There is nothing else to be done with it.
pub(super) fn keep(given: &GivenOption) -> syn::Result<()> {
    let word: LitStr = given.assigned("a string")?;
    match word.value().as_str() {
        "keep" => Ok(()),
        _ => Err(syn::Error::new_spanned(
            word,
            "`result` can be `\"keep\"`, which stores what the handler returns; without it nothing \
             is stored",
        )),
    }
}

/// Reads what is encrypted.
pub(super) fn encrypted(given: &GivenOption) -> syn::Result<LitStr> {
    let word: LitStr = given.assigned("a string")?;
    match word.value().as_str() {
        "payload" => Ok(word),
        _ => Err(syn::Error::new_spanned(
            word,
            "`encrypted` can be `\"payload\"`, which encrypts each field; for some of them write `#[encrypted]` on each",
        )),
    }
}

/// Reads the type of the result that tasks keep.
pub(super) fn result(given: &GivenOption) -> syn::Result<Type> {
    given.assigned("the type that the handler's `Result` holds")
}

/// Reads the name of a type to be made.
pub(super) fn ident(given: &GivenOption) -> syn::Result<Ident> {
    given.assigned("the name of a struct to make")
}

/// Reads the paths in `derive(…)`.
pub(super) fn derives(given: &GivenOption) -> syn::Result<Vec<Path>> {
    let takes = "a list in parentheses";
    let GivenValue::List(list) = &given.value else {
        return Err(given.wrong_kind(takes));
    };
    let derives = Punctuated::<Path, Token![,]>::parse_terminated
        .parse2(list.clone())
        .map_err(|_| given.wrong_kind(takes))?;
    for derive in &derives {
        check_derive(derive)?;
    }
    Ok(derives.into_iter().collect())
}

/// Reads where taskq is: a path, bare or in a string.
pub(super) fn krate(given: &GivenOption) -> syn::Result<Path> {
    let Krate(path) = given.assigned("a path")?;
    // serde is told the path in a string, where `$crate` means nothing.
    if path.segments.iter().any(|part| part.ident == "$crate") {
        return Err(syn::Error::new_spanned(
            path,
            "`$crate` cannot be used here: write the path from the crate that calls the macro, \
             such as `crate = ::my_crate::taskq`",
        ));
    }
    Ok(path)
}

fn check_name(key: &Ident, name: &LitStr) -> syn::Result<()> {
    match names::problem(&name.value()) {
        Some(problem) => Err(syn::Error::new_spanned(name, format!("`{key}` {problem}"))),
        None => Ok(()),
    }
}

fn check_derive(derive: &Path) -> syn::Result<()> {
    let last = derive.segments.last().map(|part| part.ident.to_string());
    match last.as_deref() {
        Some(name @ ("Serialize" | "Deserialize")) => Err(syn::Error::new_spanned(
            derive,
            format!("a payload always derives `{name}`: leave it out"),
        )),
        _ => Ok(()),
    }
}

fn integer<N>(given: &GivenOption) -> syn::Result<N>
where
    N: std::str::FromStr<Err: std::fmt::Display> + Bounds,
{
    let Integer { text, tokens } = given.assigned("a whole number")?;
    text.parse().map_err(|_| {
        let key = &given.key;
        let message = format!("`{key}` must be between {} and {}", N::MIN, N::MAX);
        syn::Error::new_spanned(tokens, message)
    })
}

/// The bounds of an option that is a number, as its error names them.
trait Bounds {
    const MIN: i32;
    const MAX: i32;
}

impl Bounds for i16 {
    const MIN: i32 = i16::MIN as i32;
    const MAX: i32 = i16::MAX as i32;
}

impl Bounds for u16 {
    const MIN: i32 = 1;
    const MAX: i32 = u16::MAX as i32;
}

/// What an option says that takes a text or the name of a function.
pub(super) enum Said<V = Value> {
    Value(V),
    Function(Path),
}

/// As [`Said`], before the text is read.
pub(super) type TextOrFunction = Said<LitStr>;

impl Parse for TextOrFunction {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        match input.peek(LitStr) {
            true => input.parse().map(Self::Value),
            false => input.call(Path::parse_mod_style).map(Self::Function),
        }
    }
}

struct Names(Vec<LitStr>);

impl Parse for Names {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(syn::token::Bracket) {
            return Ok(Self(vec![input.parse()?]));
        }
        let content;
        syn::bracketed!(content in input);
        let names = Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?;
        Ok(Self(names.into_iter().collect()))
    }
}

struct Paths(Vec<Path>);

impl Parse for Paths {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(syn::token::Bracket) {
            return Ok(Self(vec![input.call(Path::parse_mod_style)?]));
        }
        let content;
        syn::bracketed!(content in input);
        let paths = content.parse_terminated(Path::parse_mod_style, Token![,])?;
        Ok(Self(paths.into_iter().collect()))
    }
}

struct Integer {
    text: String,
    tokens: TokenStream,
}

impl Parse for Integer {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let minus: Option<Token![-]> = input.parse()?;
        let digits: LitInt = input.parse()?;
        let sign = if minus.is_some() { "-" } else { "" };
        Ok(Self {
            text: format!("{sign}{}", digits.base10_digits()),
            tokens: quote!(#minus #digits),
        })
    }
}

struct Krate(Path);

impl Parse for Krate {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path = if input.peek(LitStr) {
            input.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?
        } else {
            input.call(Path::parse_mod_style)?
        };
        Ok(Self(path))
    }
}

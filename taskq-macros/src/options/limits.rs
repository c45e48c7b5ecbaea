//! Reads `concurrency`, `rate` and `fair`: how many tasks run at once, how fast they start, and which keys take turns.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{LitInt, LitStr};

use super::duration;
use super::given::{GivenOption, GivenValue, OptionText};
use super::unique::written;
use crate::tokens::split_at_commas;

/// What `concurrency` says.
pub(crate) struct Concurrency {
    most: u32,
    pub(crate) key: Option<Vec<Ident>>,
}

/// What `rate` says.
pub(crate) struct Rate {
    most: u32,
    time: Duration,
    burst: Option<u32>,
    pub(crate) key: Option<Vec<Ident>>,
}

const CONCURRENCY: &str = "a number, and in parentheses also `key = field`";
const RATE: &str = "a number of starts and a time, as in `\"100/min\"`, and in parentheses also `burst = 20` and `key = field`";

/// Reads how many run at once.
pub(super) fn concurrency(given: &GivenOption) -> syn::Result<Concurrency> {
    let (first, rest) = parts(given, CONCURRENCY)?;
    let number: LitInt = syn::parse2(first).map_err(|_| given.wrong_kind(CONCURRENCY))?;
    let most = at_least_one(
        &number,
        "`concurrency` must be at least 1; to have nothing start, pause the task type",
    )?;
    let mut key = None;
    for piece in rest {
        match name_of(&piece, given, CONCURRENCY)? {
            name if name == "key" => {
                once(&name, key.is_some())?;
                key = Some(key_of(piece)?);
            }
            other => return Err(unknown(&other, "concurrency", CONCURRENCY)),
        }
    }
    Ok(Concurrency { most, key })
}

/// Reads how fast tasks start.
pub(super) fn rate(given: &GivenOption) -> syn::Result<Rate> {
    let (first, rest) = parts(given, RATE)?;
    let text: LitStr = syn::parse2(first).map_err(|_| given.wrong_kind(RATE))?;
    let (most, time) = per(&text)?;
    let (mut burst, mut key) = (None, None);
    for piece in rest {
        match name_of(&piece, given, RATE)? {
            name if name == "key" => {
                once(&name, key.is_some())?;
                key = Some(key_of(piece)?);
            }
            name if name == "burst" => {
                once(&name, burst.is_some())?;
                burst = Some(burst_of(piece)?);
            }
            other => return Err(unknown(&other, "rate", RATE)),
        }
    }
    Ok(Rate {
        most,
        time,
        burst,
        key,
    })
}

/// Reads by which fields keys take turns: `fair = tenant_id` or `fair(tenant_id, region)`.
pub(super) fn fair(given: &GivenOption) -> syn::Result<Vec<Ident>> {
    fields_of(
        given,
        "a field of the payload, or several as in `fair(tenant_id, region)`",
    )
}

/// Divides the value into what stands first and what follows.
fn parts(given: &GivenOption, takes: &str) -> syn::Result<(TokenStream, Vec<TokenStream>)> {
    match &given.value {
        GivenValue::Assigned(tokens) => Ok((tokens.clone(), Vec::new())),
        GivenValue::List(list) => {
            let mut pieces = split_at_commas(list.clone()).into_iter();
            let first = pieces.next().ok_or_else(|| given.wrong_kind(takes))?;
            Ok((first, pieces.collect()))
        }
    }
}

fn name_of(piece: &TokenStream, given: &GivenOption, takes: &str) -> syn::Result<Ident> {
    match piece.clone().into_iter().next() {
        Some(TokenTree::Ident(name)) => Ok(name),
        _ => Err(given.wrong_kind(takes)),
    }
}

fn unknown(name: &Ident, option: &str, takes: &str) -> syn::Error {
    let message = format!("`{option}` has no `{name}`: it takes {takes}");
    syn::Error::new_spanned(name, message)
}

fn once(name: &Ident, is_given: bool) -> syn::Result<()> {
    match is_given {
        true => Err(syn::Error::new_spanned(
            name,
            format!("`{name}` is given twice"),
        )),
        false => Ok(()),
    }
}

/// Reads `key = tenant_id` or `key(tenant_id, region)`.
fn key_of(piece: TokenStream) -> syn::Result<Vec<Ident>> {
    let given = OptionText::parse(piece)?.with_value("key = tenant_id")?;
    fields_of(
        &given,
        "a field of the payload, or several as in `key(tenant_id, region)`",
    )
}

/// Reads fields of the payload.
pub(super) fn fields_of(given: &GivenOption, takes: &str) -> syn::Result<Vec<Ident>> {
    let names = Punctuated::<Ident, syn::Token![,]>::parse_terminated_with;
    let fields = (|input: syn::parse::ParseStream<'_>| names(input, Ident::parse_any))
        .parse2(given.value.tokens().clone())
        .map_err(|_| given.wrong_kind(takes))?;
    if fields.is_empty() {
        return Err(given.wrong_kind(takes));
    }
    Ok(fields.into_iter().collect())
}

fn burst_of(piece: TokenStream) -> syn::Result<u32> {
    let given = OptionText::parse(piece)?.with_value("burst = 20")?;
    let number: LitInt = match &given.value {
        GivenValue::Assigned(tokens) => {
            syn::parse2(tokens.clone()).map_err(|_| given.wrong_kind("a number"))?
        }
        GivenValue::List(_) => return Err(given.wrong_kind("a number")),
    };
    at_least_one(&number, "`burst` must be at least 1")
}

fn at_least_one(number: &LitInt, message: &str) -> syn::Result<u32> {
    match number.base10_parse::<u32>() {
        Ok(0) => Err(syn::Error::new_spanned(number, message)),
        Ok(most) if i32::try_from(most).is_ok() => Ok(most),
        Ok(_) => Err(syn::Error::new_spanned(
            number,
            format!("this must be at most {}", i32::MAX),
        )),
        Err(error) => Err(error),
    }
}

/// Reads `100/min`, `5/s`, `20/90s`.
fn per(text: &LitStr) -> syn::Result<(u32, Duration)> {
    let wrong = |message: &str| syn::Error::new_spanned(text, message);
    let value = text.value();
    let form = "`rate` is a number of starts and a time, such as `\"100/min\"`, `\"5/s\"`, `\"1000/h\"` or `\"20/90s\"`";
    let (most, time) = value.split_once('/').ok_or_else(|| wrong(form))?;
    let most: u32 = most.trim().parse().map_err(|_| wrong(form))?;
    if most == 0 {
        return Err(wrong(
            "`rate` must be at least one start in its time; to have nothing start, pause the task type",
        ));
    }
    if i32::try_from(most).is_err() {
        return Err(wrong(&format!(
            "`rate` must be at most {} starts",
            i32::MAX
        )));
    }
    let time = match time.trim() {
        "s" | "sec" | "second" => Duration::from_secs(1),
        "m" | "min" | "minute" => Duration::from_secs(60),
        "h" | "hour" => Duration::from_secs(60 * 60),
        "d" | "day" => Duration::from_secs(24 * 60 * 60),
        time => duration::parse(time).map_err(|_| wrong(form))?,
    };
    Ok((most, time))
}

impl Concurrency {
    /// Writes it as a method of `TaskOptions` takes it, with the names that the fields of the key have in JSON.
    pub(crate) fn written(&self, private: &TokenStream, names: Option<&[String]>) -> TokenStream {
        let most = self.most;
        let key = names.map(|names| quote!(.key(&[#(#names),*])));
        quote!(#private::Concurrency::new(#most) #key)
    }
}

impl Rate {
    /// Writes it as a method of `TaskOptions` takes it, with the names that the fields of the key have in JSON.
    pub(crate) fn written(&self, private: &TokenStream, names: Option<&[String]>) -> TokenStream {
        let (most, time) = (self.most, written(private, self.time));
        let burst = self.burst.map(|burst| quote!(.burst(#burst)));
        let key = names.map(|names| quote!(.key(&[#(#names),*])));
        quote!(#private::Rate::new(#most, #time) #burst #key)
    }
}

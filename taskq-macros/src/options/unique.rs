//! Reads `unique`: of which tasks one at a time may be there.

use std::time::Duration;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::quote;
use syn::LitStr;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;

use super::duration;
use super::given::{GivenOption, GivenValue, OptionText};
use crate::tokens::split_at_commas;

/// What `unique` says.
pub(crate) struct Unique {
    /// The fields that make the key, as they are written; `None` for the whole payload.
    pub(crate) fields: Option<Vec<Ident>>,
    until: Until,
    on_conflict: OnConflict,
}

enum Until {
    Done,
    Started,
    Again,
    Within(Duration),
}

enum OnConflict {
    Keep,
    Replace,
    PushBack(Duration),
    Error,
}

const TAKES: &str =
    "`\"payload\"`, or a list of `fields(…)`, `until`, `within`, `on_conflict` and `at_latest`";

/// Reads the option's value.
pub(super) fn read(given: &GivenOption) -> syn::Result<Unique> {
    match &given.value {
        GivenValue::Assigned(tokens) => match syn::parse2::<LitStr>(tokens.clone()) {
            Ok(word) if word.value() == "payload" => Ok(Unique {
                fields: None,
                until: Until::Done,
                on_conflict: OnConflict::Keep,
            }),
            _ => Err(given.wrong_kind(TAKES)),
        },
        GivenValue::List(list) => list_of(given, list),
    }
}

fn list_of(given: &GivenOption, list: &TokenStream) -> syn::Result<Unique> {
    let mut fields = None;
    let [mut until, mut within, mut on_conflict, mut at_latest] = [const { None::<LitStr> }; 4];
    for piece in split_at_commas(list.clone()) {
        let Some(TokenTree::Ident(key)) = piece.clone().into_iter().next() else {
            return Err(given.wrong_kind(TAKES));
        };
        let (slot, example) = match key.to_string().as_str() {
            "fields" => {
                once(&key, fields.is_some())?;
                fields = Some(fields_of(piece)?);
                continue;
            }
            "until" => (&mut until, "until = \"started\""),
            "within" => (&mut within, "within = \"1h\""),
            "on_conflict" => (&mut on_conflict, "on_conflict = \"replace\""),
            "at_latest" => (&mut at_latest, "at_latest = \"5m\""),
            other => {
                let message = format!("`unique` has no `{other}`: it takes {TAKES}");
                return Err(syn::Error::new_spanned(key, message));
            }
        };
        once(&key, slot.is_some())?;
        *slot = Some(text(piece, example)?);
    }
    let until = match (until, within) {
        (None, None) => Until::Done,
        (Some(_), Some(within)) => {
            let message =
                "`unique`: `within` says until when a task has its key: leave out `until`";
            return Err(syn::Error::new_spanned(within, message));
        }
        (None, Some(within)) => Until::Within(duration_of("within", &within)?),
        (Some(until), None) => match until.value().as_str() {
            "done" => Until::Done,
            "started" => Until::Started,
            "again" => Until::Again,
            _ => {
                let message = "`until` can be `\"done\"`, when the task has ended, `\"started\"`, when a worker has \
                               claimed it, or `\"again\"`, when one that runs has ended and the next starts";
                return Err(syn::Error::new_spanned(until, message));
            }
        },
    };
    let word = match (&on_conflict, &until) {
        (None, Until::Again) => "replace".into(),
        (None, _) => "keep".into(),
        (Some(word), _) => word.value(),
    };
    if let (Until::Again, "keep" | "error") = (&until, word.as_str()) {
        let message = "`until = \"again\"` has the newest payload hold: leave `on_conflict` out, or put the task off with \
                       `\"push_back\"`";
        return Err(syn::Error::new_spanned(on_conflict, message));
    }
    let on_conflict = match (word.as_str(), at_latest) {
        ("push_back", Some(at_latest)) => {
            OnConflict::PushBack(duration_of("at_latest", &at_latest)?)
        }
        ("push_back", None) => {
            let message = "`push_back` puts a task off each time: say until when at most, with `at_latest = \"5m\"`";
            return Err(syn::Error::new_spanned(on_conflict, message));
        }
        (_, Some(at_latest)) => {
            let message = "`at_latest` goes with `on_conflict = \"push_back\"`";
            return Err(syn::Error::new_spanned(at_latest, message));
        }
        ("keep", None) => OnConflict::Keep,
        ("replace", None) => OnConflict::Replace,
        ("error", None) => OnConflict::Error,
        _ => {
            let message =
                "`on_conflict` can be `\"keep\"`, `\"replace\"`, `\"push_back\"` or `\"error\"`";
            return Err(syn::Error::new_spanned(on_conflict, message));
        }
    };
    Ok(Unique {
        fields,
        until,
        on_conflict,
    })
}

fn once(key: &Ident, is_given: bool) -> syn::Result<()> {
    match is_given {
        true => Err(syn::Error::new_spanned(
            key,
            format!("`{key}` is given twice"),
        )),
        false => Ok(()),
    }
}

fn text(piece: TokenStream, example: &'static str) -> syn::Result<LitStr> {
    let given = OptionText::parse(piece)?.with_value(example)?;
    match &given.value {
        GivenValue::Assigned(tokens) => {
            syn::parse2(tokens.clone()).map_err(|_| given.wrong_kind("a string"))
        }
        GivenValue::List(_) => Err(given.wrong_kind("a string")),
    }
}

fn fields_of(piece: TokenStream) -> syn::Result<Vec<Ident>> {
    let given = OptionText::parse(piece)?.with_value("fields(usr_id, locale)")?;
    let takes = "the names of fields in parentheses";
    let GivenValue::List(list) = &given.value else {
        return Err(given.wrong_kind(takes));
    };
    let names = Punctuated::<Ident, syn::Token![,]>::parse_terminated_with;
    let fields = (|input: syn::parse::ParseStream<'_>| names(input, Ident::parse_any))
        .parse2(list.clone())
        .map_err(|_| given.wrong_kind(takes))?;
    if fields.is_empty() {
        return Err(given.wrong_kind(takes));
    }
    Ok(fields.into_iter().collect())
}

fn duration_of(key: &str, text: &LitStr) -> syn::Result<Duration> {
    duration::parse(&text.value())
        .map_err(|problem| syn::Error::new_spanned(text, problem.message(key, &text.value())))
}

impl Unique {
    /// Writes it as a method of `TaskOptions` takes it, with the names that its fields have in JSON.
    pub(crate) fn written(&self, private: &TokenStream, names: Option<&[String]>) -> TokenStream {
        let fields = names.map(|names| quote!(.fields(&[#(#names),*])));
        let until = match self.until {
            Until::Done => None,
            Until::Started => Some(quote!(.until(#private::Until::Started))),
            Until::Again => Some(quote!(.until(#private::Until::Again))),
            Until::Within(time) => {
                let time = written(private, time);
                Some(quote!(.until(#private::Until::Within(#time))))
            }
        };
        let on_conflict = match self.on_conflict {
            OnConflict::Keep => None,
            OnConflict::Replace => Some(quote!(#private::OnConflict::Replace)),
            OnConflict::PushBack(time) => {
                let at_latest = written(private, time);
                Some(quote!(#private::OnConflict::PushBack { at_latest: #at_latest }))
            }
            OnConflict::Error => Some(quote!(#private::OnConflict::Error)),
        };
        let on_conflict = on_conflict.map(|it| quote!(.on_conflict(#it)));
        quote!(#private::Unique::new() #fields #until #on_conflict)
    }
}

/// Writes a duration.
pub(crate) fn written(private: &TokenStream, duration: Duration) -> TokenStream {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    quote!(#private::Duration::new(#seconds, #nanoseconds))
}

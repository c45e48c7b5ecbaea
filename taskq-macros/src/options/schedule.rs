//! Reads what says when a schedule ticks, and what else it does.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::LitStr;

use super::duration;
use super::given::GivenOption;
use super::unique::written;
use crate::expression::Expression;

/// What `cron` and the options beside it say.
#[derive(Default)]
pub(crate) struct Schedule {
    cron: Option<LitStr>,
    timezone: Option<LitStr>,
    catch_up: Option<&'static str>,
    catch_up_within: Option<Duration>,
    overlap: Option<&'static str>,
    jitter: Option<Duration>,
}

/// The options that say how a schedule ticks, and need one.
pub(crate) const BESIDE_CRON: [&str; 5] = [
    "timezone",
    "catch_up",
    "catch_up_within",
    "overlap",
    "jitter",
];

impl Schedule {
    pub(super) fn read_cron(&mut self, given: &GivenOption) -> syn::Result<()> {
        let text: LitStr = given.assigned("a cron expression in a string")?;
        Expression::parse(&text.value())
            .map_err(|problem| syn::Error::new_spanned(&text, format!("`cron`: {problem}")))?;
        self.cron = Some(text);
        Ok(())
    }

    pub(super) fn read_timezone(&mut self, given: &GivenOption) -> syn::Result<()> {
        let text: LitStr = given.assigned("the name of a time zone in a string")?;
        if constant(&text).is_none() {
            let message = format!(
                "`timezone`: `{}` is no name of the tz database: write one, such as `Europe/Zurich` or `UTC`",
                text.value()
            );
            return Err(syn::Error::new_spanned(&text, message));
        }
        self.timezone = Some(text);
        Ok(())
    }

    pub(super) fn read_catch_up(&mut self, given: &GivenOption) -> syn::Result<()> {
        let words = [("none", "None"), ("once", "Once"), ("all", "All")];
        self.catch_up = Some(word(given, &words)?);
        Ok(())
    }

    pub(super) fn read_catch_up_within(&mut self, given: &GivenOption) -> syn::Result<()> {
        self.catch_up_within = Some(duration_of(given)?);
        Ok(())
    }

    pub(super) fn read_overlap(&mut self, given: &GivenOption) -> syn::Result<()> {
        let words = [
            ("allow", "Allow"),
            ("skip", "Skip"),
            ("one_waiting", "OneWaiting"),
        ];
        self.overlap = Some(word(given, &words)?);
        Ok(())
    }

    pub(super) fn read_jitter(&mut self, given: &GivenOption) -> syn::Result<()> {
        self.jitter = Some(duration_of(given)?);
        Ok(())
    }

    /// Tells whether it catches nothing up, and says how much of it.
    pub(crate) fn contradicts_itself(&self) -> bool {
        self.catch_up == Some("None") && self.catch_up_within.is_some()
    }

    /// Writes it as a method of `Declaration` takes it; nothing where there is no `cron`.
    pub(crate) fn written(&self, private: &TokenStream) -> Option<TokenStream> {
        let cron = self.cron.as_ref()?;
        let timezone = self.timezone.iter().map(|it| quote!(.timezone(#it)));
        let variant = |name: &str| format_ident!("{name}");
        let catch_up = self.catch_up.map(|name| {
            let name = variant(name);
            quote!(.catch_up(#private::CatchUp::#name))
        });
        let within = self.catch_up_within.map(|within| {
            let within = written(private, within);
            quote!(.catch_up_within(#within))
        });
        let overlap = self.overlap.map(|name| {
            let name = variant(name);
            quote!(.overlap(#private::Overlap::#name))
        });
        let jitter = self.jitter.map(|jitter| {
            let jitter = written(private, jitter);
            quote!(.jitter(#jitter))
        });
        Some(quote! {
            .schedules(const {
                &[#private::Schedule::new(#cron) #(#timezone)* #catch_up #within #overlap #jitter]
            })
        })
    }

    /// Returns the path of the zone among the constants of chrono-tz, at its name.
    pub(crate) fn zone(&self) -> Option<(Span, Vec<Ident>)> {
        let timezone = self.timezone.as_ref()?;
        Some((timezone.span(), constant(timezone)?))
    }
}

/// Returns the path of the constant for a zone, as chrono-tz names it.
fn constant(name: &LitStr) -> Option<Vec<Ident>> {
    let text = name.value();
    let parts = text.split('/').map(|part| {
        let mut ident = String::new();
        let mut signs = part.chars().peekable();
        while let Some(sign) = signs.next() {
            match sign {
                '+' => ident.push_str("Plus"),
                '-' if signs.peek().is_some_and(char::is_ascii_digit) => ident.push_str("Minus"),
                '-' => {}
                sign => ident.push(sign),
            }
        }
        let mut ident: Ident = syn::parse_str(&ident).ok()?;
        ident.set_span(name.span());
        Some(ident)
    });
    parts.collect()
}

fn word(given: &GivenOption, words: &[(&'static str, &'static str)]) -> syn::Result<&'static str> {
    let text: LitStr = given.assigned("a string")?;
    let found = words.iter().find(|(word, _)| text.value() == *word);
    found.map(|(_, variant)| *variant).ok_or_else(|| {
        let words: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("`\"{word}\"`"))
            .collect();
        let (last, first) = words.split_last().expect("there are some");
        let message = format!("`{}` can be {} or {last}", given.key, first.join(", "));
        syn::Error::new_spanned(text, message)
    })
}

fn duration_of(given: &GivenOption) -> syn::Result<Duration> {
    let text: LitStr = given.assigned("a duration in a string")?;
    duration::parse(&text.value()).map_err(|problem| {
        let message = problem.message(&given.key.to_string(), &text.value());
        syn::Error::new_spanned(&text, message)
    })
}

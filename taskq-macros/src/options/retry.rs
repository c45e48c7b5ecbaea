//! What `retry` says: how long a failed task waits.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;

use super::duration;
use super::unique::written;

/// How a failed task waits, as a text says it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Exponential(Duration, Duration),
    Linear(Duration, Duration),
    Fixed(Duration),
    List(Vec<Duration>),
}

const WAYS: &str = "write `exponential(5s, 6h)`, the first wait and the longest; `linear(10s, 1h)`, the step and the \
                    longest; `fixed(1m)`; or the waits themselves, `10s, 1m, 10m`, of which the last repeats. A function \
                    is named without quotes: `retry = my_backoff`";

/// Reads a way to wait, or says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Retry, String> {
    let text = text.trim();
    let Some((way, rest)) = text.split_once('(') else {
        return match durations(text) {
            // Not a wait at all, or a list with a slip in it.
            Err(_) if !text.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(format!("`{text}` is no way to wait; {WAYS}"))
            }
            waits => waits.map(Retry::List),
        };
    };
    let Some(inner) = rest.strip_suffix(')') else {
        return Err(format!("`{text}` does not end with `)`; {WAYS}"));
    };
    match way.trim() {
        "exponential" => {
            let [first, longest] = exactly(
                inner,
                "exponential(5s, 6h)",
                "the first wait and the longest",
            )?;
            in_order("the first wait", first, longest, inner)?;
            Ok(Retry::Exponential(first, longest))
        }
        "linear" => {
            let [step, longest] =
                exactly(inner, "linear(10s, 1h)", "the step and the longest wait")?;
            in_order("the step", step, longest, inner)?;
            Ok(Retry::Linear(step, longest))
        }
        "fixed" => {
            let [wait] = exactly(inner, "fixed(1m)", "one wait")?;
            Ok(Retry::Fixed(wait))
        }
        _ => Err(format!("`{text}` is no way to wait; {WAYS}")),
    }
}

fn exactly<const N: usize>(
    inner: &str,
    example: &str,
    takes: &str,
) -> Result<[Duration; N], String> {
    let durations = durations(inner)?;
    durations
        .try_into()
        .map_err(|_| format!("`({inner})` has not what it takes, {takes}: write `{example}`"))
}

fn in_order(what: &str, first: Duration, longest: Duration, inner: &str) -> Result<(), String> {
    match first <= longest {
        true => Ok(()),
        false => Err(format!(
            "`({inner})`: {what} comes first, and is not longer than the longest"
        )),
    }
}

fn durations(list: &str) -> Result<Vec<Duration>, String> {
    let texts = list.split(',').map(str::trim);
    let waits = texts.map(|text| duration::parse(text).map_err(|problem| problem.about(text)));
    waits.collect()
}

impl Retry {
    /// Writes it as a method of `Declaration` takes it.
    pub(super) fn written(&self, private: &TokenStream) -> TokenStream {
        let time = |duration: &Duration| written(private, *duration);
        match self {
            Self::Exponential(first, longest) => {
                let (first, longest) = (time(first), time(longest));
                quote!(#private::Retry::exponential(#first, #longest))
            }
            Self::Linear(step, longest) => {
                let (step, longest) = (time(step), time(longest));
                quote!(#private::Retry::linear(#step, #longest))
            }
            Self::Fixed(wait) => {
                let wait = time(wait);
                quote!(#private::Retry::fixed(#wait))
            }
            Self::List(waits) => {
                let waits = waits.iter().map(time);
                quote!(#private::Retry::list(const { &[#(#waits),*] }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn each_way_to_wait_is_read() {
        for (text, retry) in [
            (
                "exponential(5s, 6h)",
                Retry::Exponential(seconds(5), seconds(21_600)),
            ),
            (
                " exponential ( 5s,5s ) ",
                Retry::Exponential(seconds(5), seconds(5)),
            ),
            ("linear(10s, 1h)", Retry::Linear(seconds(10), seconds(3600))),
            ("fixed(1m30s)", Retry::Fixed(seconds(90))),
            (
                "10s, 1m,10m",
                Retry::List(vec![seconds(10), seconds(60), seconds(600)]),
            ),
            ("10m, 1s", Retry::List(vec![seconds(600), seconds(1)])),
            ("1h", Retry::List(vec![seconds(3600)])),
        ] {
            assert_eq!(parse(text), Ok(retry), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_to_write() {
        for (text, said) in [
            ("", "is no way to wait"),
            ("never", "is no way to wait"),
            ("exponential", "is no way to wait"),
            ("Exponential(5s, 6h)", "is no way to wait"),
            ("random(1s, 2s)", "is no way to wait"),
            ("exponential(5s, 6h", "does not end with `)`"),
            ("exponential(5s)", "write `exponential(5s, 6h)`"),
            ("exponential(5s, 6h, 7h)", "write `exponential(5s, 6h)`"),
            ("linear(1s)", "write `linear(10s, 1h)`"),
            ("fixed(1s, 2s)", "write `fixed(1m)`"),
            ("fixed()", "`` is not a duration"),
            ("exponential(6h, 5s)", "the first wait comes first"),
            ("linear(2h, 1h)", "the step comes first"),
            ("fixed(0s)", "must be longer than zero"),
            ("10s,", "`` is not a duration"),
            ("10s 1m", "`10s 1m` is not a duration"),
            ("10s, 60", "`60` is not a duration"),
            ("fixed(36601d)", "at most `36600d`"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }
}

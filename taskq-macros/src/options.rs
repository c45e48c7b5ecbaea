//! Reads the options in the attribute's parentheses: which there are, and which were given.

use std::time::Duration;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::LitStr;

use crate::errors::Errors;
use crate::tokens::split_at_commas;
use crate::values;

/// An option that there is.
struct Known {
    name: &'static str,
    /// How it is written.
    example: &'static str,
    read: fn(&mut Options, &Given) -> syn::Result<()>,
}

const KNOWN: [Known; 9] = [
    Known {
        name: "name",
        example: "name = \"mail.welcome\"",
        read: |options, given| values::name(given).map(|it| options.name = Some(it)),
    },
    Known {
        name: "alias",
        example: "alias = \"old_name\"",
        read: |options, given| values::names(given).map(|it| options.aliases = it),
    },
    Known {
        name: "queue",
        example: "queue = \"mail\"",
        read: |options, given| values::name(given).map(|it| options.queue = Some(it)),
    },
    Known {
        name: "priority",
        example: "priority = -5",
        read: |options, given| values::priority(given).map(|it| options.priority = Some(it)),
    },
    Known {
        name: "max_attempts",
        example: "max_attempts = 5",
        read: |options, given| {
            values::max_attempts(given).map(|it| options.max_attempts = Some(it))
        },
    },
    Known {
        name: "timeout",
        example: "timeout = \"30s\"",
        read: |options, given| values::duration(given).map(|it| options.timeout = Some(it)),
    },
    Known {
        name: "payload",
        example: "payload = SendEmailWelcome",
        read: |options, given| values::ident(given).map(|it| options.payload = Some(it)),
    },
    Known {
        name: "derive",
        example: "derive(Clone, PartialEq)",
        read: |options, given| values::derives(given).map(|it| options.derives = it),
    },
    Known {
        name: "crate",
        example: "crate = ::taskq",
        read: |options, given| values::krate(given).map(|it| options.krate = Some(it)),
    },
];

/// How alike two words must be for the one to be taken for a slip of the other.
///
/// Every slip in the tests below is above, and no word that merely looks like an option.
const ALIKE: f64 = 0.75;

/// What the options said. One that was given wrongly is absent here.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) queue: Option<LitStr>,
    pub(crate) priority: Option<i16>,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) payload: Option<Ident>,
    pub(crate) derives: Vec<syn::Path>,
    pub(crate) krate: Option<syn::Path>,
}

/// One option as it was written. The key is kept, for an error to point at.
pub(crate) struct Given {
    known: &'static Known,
    pub(crate) key: Ident,
    pub(crate) value: Value,
    whole: TokenStream,
}

/// What stands after an option's name.
pub(crate) enum Value {
    /// `= …`.
    Assigned(TokenStream),
    /// `(…)`.
    List(TokenStream),
}

impl Given {
    /// Makes the error that the value is not of the right kind.
    pub(crate) fn wrong_kind(&self, takes: &str) -> syn::Error {
        let Known { name, example, .. } = self.known;
        syn::Error::new_spanned(
            &self.whole,
            format!("`{name}` takes {takes}: write `{example}`"),
        )
    }
}

/// Reads all options, and collects what is wrong with any.
pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Options {
    let mut options = Options::default();
    let mut seen = Vec::new();
    for piece in split_at_commas(tokens) {
        let Some(given) = errors.keep(option(piece)) else {
            continue;
        };
        let name = given.known.name;
        if seen.contains(&name) {
            errors.at(&given.key, format!("`{name}` is given twice"));
            continue;
        }
        seen.push(name);
        errors.keep((given.known.read)(&mut options, &given));
    }
    options
}

fn option(piece: TokenStream) -> syn::Result<Given> {
    let whole = piece.clone();
    let mut tokens = piece.into_iter();
    let Some(TokenTree::Ident(key)) = tokens.next() else {
        return Err(syn::Error::new_spanned(
            whole,
            "expected an option, such as `queue = \"mail\"`",
        ));
    };
    let name = key.to_string();
    let known = KNOWN
        .iter()
        .find(|known| known.name == name)
        .ok_or_else(|| unknown(&key))?;
    let example = known.example;
    let value = match tokens.next() {
        Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {
            Value::Assigned(tokens.by_ref().collect())
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            Value::List(group.stream())
        }
        _ => {
            return Err(syn::Error::new_spanned(
                whole,
                format!("`{name}` needs a value: write `{example}`"),
            ));
        }
    };
    match tokens.next() {
        Some(_) => Err(syn::Error::new_spanned(
            whole,
            format!("expected a comma after the list: write `{example}`"),
        )),
        None => Ok(Given {
            known,
            key,
            value,
            whole,
        }),
    }
}

fn unknown(key: &Ident) -> syn::Error {
    let name = key.to_string();
    let meant = meant(&name)
        .map(|meant| format!("did you mean `{meant}`? "))
        .unwrap_or_default();
    let list: Vec<String> = KNOWN
        .iter()
        .map(|known| format!("`{}`", known.name))
        .collect();
    syn::Error::new_spanned(
        key,
        format!(
            "unknown option `{name}`; {meant}the options are {}",
            list.join(", ")
        ),
    )
}

fn meant(name: &str) -> Option<&'static str> {
    let scored = KNOWN
        .iter()
        .map(|known| (known.name, strsim::jaro_winkler(name, known.name)));
    scored
        .filter(|(_, alike)| *alike >= ALIKE)
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(known, _)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognized() {
        for (slip, known) in [
            ("que", "queue"),
            ("quueue", "queue"),
            ("prio", "priority"),
            ("max_attempt", "max_attempts"),
            ("timout", "timeout"),
            ("aliases", "alias"),
            ("derives", "derive"),
        ] {
            assert_eq!(meant(slip), Some(known));
        }
    }

    #[test]
    fn another_word_is_not_taken_for_a_slip() {
        for word in ["kind", "retries", "cron", "unique"] {
            assert_eq!(meant(word), None, "{word}");
        }
    }
}

//! Reads the options in the attribute's parentheses: which there are, and which were given.

mod cron;
mod duration;
mod values;

use std::time::Duration;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::LitStr;

use crate::errors::Errors;
use crate::tokens::split_at_commas;

/// An option that there is.
struct Known {
    name: &'static str,
    /// How it is written.
    example: &'static str,
    says: Says,
    read: fn(&mut Options, &Given) -> syn::Result<()>,
}

/// What an option says something about, and so where it may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// How tasks are enqueued and stored: in `#[taskq]`, and in the `#[task]` that makes the payload.
    Payload,
    /// The struct to be made: in the `#[task]` that makes it.
    Struct,
    /// How tasks are run: in `#[task]`.
    Handler,
    /// What a payload's handler returns: in `#[taskq]` alone.
    Apart,
    /// Where taskq is: anywhere.
    Crate,
}

/// The attribute that options stand in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `#[task(…)]` on a handler.
    Task,
    /// `#[taskq(…)]` on a payload.
    Payload,
}

const KNOWN: [Known; 14] = [
    Known {
        name: "name",
        example: "name = \"mail.welcome\"",
        says: Says::Payload,
        read: |options, given| values::name(given).map(|it| options.name = Some(it)),
    },
    Known {
        name: "alias",
        example: "alias = \"old_name\"",
        says: Says::Handler,
        read: |options, given| values::names(given).map(|it| options.aliases = it),
    },
    Known {
        name: "queue",
        example: "queue = \"mail\"",
        says: Says::Payload,
        read: |options, given| values::name(given).map(|it| options.queue = Some(it)),
    },
    Known {
        name: "priority",
        example: "priority = -5",
        says: Says::Payload,
        read: |options, given| values::priority(given).map(|it| options.priority = Some(it)),
    },
    Known {
        name: "max_attempts",
        example: "max_attempts = 5",
        says: Says::Payload,
        read: |options, given| {
            values::max_attempts(given).map(|it| options.max_attempts = Some(it))
        },
    },
    Known {
        name: "timeout",
        example: "timeout = \"30s\"",
        says: Says::Handler,
        read: |options, given| values::duration(given).map(|it| options.timeout = Some(it)),
    },
    Known {
        name: "result",
        example: "result = \"keep\"",
        says: Says::Handler,
        read: |options, given| values::keep(given).map(|()| options.keeps_result = true),
    },
    Known {
        name: "result",
        example: "result = Receipt",
        says: Says::Apart,
        read: |options, given| values::result(given).map(|it| options.result = Some(it)),
    },
    Known {
        name: "version",
        example: "version = 2",
        says: Says::Payload,
        read: |options, given| values::version(given).map(|it| options.version = Some(it)),
    },
    Known {
        name: "upgrade",
        example: "upgrade = from_v1",
        says: Says::Payload,
        read: |options, given| values::upgrades(given).map(|it| options.upgrades = it),
    },
    Known {
        name: "handles",
        example: "handles = contracts::SendEmailWelcome",
        says: Says::Handler,
        read: |options, given| values::handles(given).map(|it| options.handles = Some(it)),
    },
    Known {
        name: "payload",
        example: "payload = SendEmailWelcome",
        says: Says::Struct,
        read: |options, given| values::ident(given).map(|it| options.payload = Some(it)),
    },
    Known {
        name: "derive",
        example: "derive(Clone, PartialEq)",
        says: Says::Struct,
        read: |options, given| values::derives(given).map(|it| options.derives = it),
    },
    Known {
        name: "crate",
        example: "crate = ::taskq",
        says: Says::Crate,
        read: |options, given| values::krate(given).map(|it| options.krate = Some(it)),
    },
];

/// What people look for and is not there yet: it is in no list, and refused by `validate`. It is read all
/// the same, so that what else is wrong with it is said at once.
static CRON: Known = Known {
    name: "cron",
    example: "cron = \"0 3 * * *\"",
    says: Says::Handler,
    read: |_, given| values::cron(given),
};

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
    /// Whether the handler's result is kept.
    pub(crate) keeps_result: bool,
    /// The type of the result that tasks of a payload keep.
    pub(crate) result: Option<syn::Type>,
    pub(crate) version: Option<Version>,
    pub(crate) upgrades: Vec<syn::Path>,
    pub(crate) handles: Option<syn::Type>,
    pub(crate) payload: Option<Ident>,
    pub(crate) derives: Vec<syn::Path>,
    pub(crate) krate: Option<syn::Path>,
    /// The names of all that were given, rightly or wrongly.
    keys: Vec<Ident>,
}

/// The version of a payload, and how it was written.
pub(crate) struct Version {
    pub(crate) number: u16,
    pub(crate) tokens: TokenStream,
}

impl Options {
    /// Returns the names of the options that have no place where the payload is declared elsewhere.
    pub(crate) fn about_the_payload(&self) -> impl Iterator<Item = &Ident> {
        let about_it = KNOWN
            .iter()
            .filter(|known| matches!(known.says, Says::Payload | Says::Struct));
        about_it.filter_map(|known| self.key(known.name))
    }

    /// Returns an option's name as it was written, if the option was given, rightly or wrongly.
    pub(crate) fn key(&self, name: &str) -> Option<&Ident> {
        self.keys.iter().find(|key| *key == name)
    }
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
pub(crate) fn read(tokens: TokenStream, place: Place, errors: &mut Errors) -> Options {
    let mut options = Options::default();
    read_more(tokens, place, &mut options, &mut Vec::new(), errors);
    options
}

/// Reads the options of several attributes as if they stood in one.
pub(crate) fn read_all(
    attributes: impl IntoIterator<Item = TokenStream>,
    place: Place,
    errors: &mut Errors,
) -> Options {
    let mut options = Options::default();
    let mut seen = Vec::new();
    for tokens in attributes {
        read_more(tokens, place, &mut options, &mut seen, errors);
    }
    options
}

fn read_more(
    tokens: TokenStream,
    place: Place,
    options: &mut Options,
    seen: &mut Vec<&'static str>,
    errors: &mut Errors,
) {
    for piece in split_at_commas(tokens) {
        let Some(given) = errors.keep(option(piece, place)) else {
            continue;
        };
        let name = given.known.name;
        if seen.contains(&name) {
            errors.at(&given.key, format!("`{name}` is given twice"));
            continue;
        }
        seen.push(name);
        options.keys.push(given.key.clone());
        errors.keep((given.known.read)(options, &given));
    }
}

fn option(piece: TokenStream, place: Place) -> syn::Result<Given> {
    let whole = piece.clone();
    let mut tokens = piece.into_iter();
    let Some(TokenTree::Ident(key)) = tokens.next() else {
        return Err(syn::Error::new_spanned(
            whole,
            "expected an option, such as `queue = \"mail\"`",
        ));
    };
    let name = key.to_string();
    let mut called_so = KNOWN
        .iter()
        .chain([&CRON])
        .filter(|known| known.name == name)
        .peekable();
    if called_so.peek().is_none() {
        return Err(unknown(&key, place));
    }
    let known = called_so
        .find(|known| known.may_stand_in(place))
        .ok_or_else(|| misplaced(&key))?;
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

impl Known {
    fn may_stand_in(&self, place: Place) -> bool {
        match place {
            Place::Task => self.says != Says::Apart,
            Place::Payload => matches!(self.says, Says::Payload | Says::Apart | Says::Crate),
        }
    }
}

fn unknown(key: &Ident, place: Place) -> syn::Error {
    let name = key.to_string();
    let meant = meant(&name, place)
        .map(|meant| format!("did you mean `{meant}`? "))
        .unwrap_or_default();
    let list: Vec<String> = names(place).map(|name| format!("`{name}`")).collect();
    syn::Error::new_spanned(
        key,
        format!(
            "unknown option `{name}`; {meant}the options are {}",
            list.join(", ")
        ),
    )
}

fn misplaced(key: &Ident) -> syn::Error {
    let message = match key.to_string().as_str() {
        name @ ("payload" | "derive") => {
            format!("`{name}` is for the struct that `#[task]` makes; this one is yours: remove it")
        }
        name => format!("`{name}` is about the handler: write it in the handler's `#[task]`"),
    };
    syn::Error::new_spanned(key, message)
}

fn names(place: Place) -> impl Iterator<Item = &'static str> {
    let known = KNOWN.iter().filter(move |known| known.may_stand_in(place));
    known.map(|known| known.name)
}

fn meant(name: &str, place: Place) -> Option<&'static str> {
    names(place)
        .map(|known| (known, strsim::jaro_winkler(name, known)))
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
            assert_eq!(meant(slip, Place::Task), Some(known));
        }
    }

    #[test]
    fn another_word_is_not_taken_for_a_slip() {
        for word in ["kind", "retries", "cron", "unique"] {
            assert_eq!(meant(word, Place::Task), None, "{word}");
        }
    }
}

//! Reads the options in the attribute's parentheses.
//!
//! `known` is the table of all that there are. An option whose value a method of `TaskOptions` or of
//! `Declaration` takes is a row of that table, and nothing else in this crate.

mod declared;
pub(crate) mod duration;
mod given;
mod keep;
mod known;
mod limits;
mod place;
mod retry;
mod schedule;
mod sequence;
mod unique;
mod unknown;
mod values;

use proc_macro2::TokenStream;

use self::given::{GivenOption, OptionText};
use self::known::KnownOption;
use crate::errors::Errors;
use crate::tokens::split_at_commas;

pub(crate) use self::declared::{Options, Setting};
pub(crate) use self::limits::{Concurrency, Rate};
pub(crate) use self::place::{Place, Subject};
pub(crate) use self::schedule::{BESIDE_CRON, Schedule};
pub(crate) use self::sequence::Sequence;
pub(crate) use self::unique::{Unique, written as duration_written};

/// Reads the options of all attributes as if they stood in one, and collects what is wrong with any.
pub(crate) fn read(
    attributes: impl IntoIterator<Item = TokenStream>,
    place: Place,
    errors: &mut Errors,
) -> Options {
    let mut options = Options::default();
    for text in attributes.into_iter().flat_map(split_at_commas) {
        let Some((known, given)) = errors.keep(option(text, place)) else {
            continue;
        };
        if options.key(known.name).is_some() {
            errors.at(&given.key, format!("`{}` is given twice", known.name));
        } else {
            errors.keep(known.read(given, &mut options));
        }
    }
    options
}

fn option(text: TokenStream, place: Place) -> syn::Result<(&'static KnownOption, GivenOption)> {
    let text = OptionText::parse(text)?;
    let known = known::find(&text.key, place)?;
    Ok((known, text.with_value(known.example)?))
}

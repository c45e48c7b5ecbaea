//! A JSON text taken apart, as Postgres sees it: for what happens rarely.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::number;

/// A value in which neither the order of names nor the spelling of numbers is left.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    /// A string, a number, or a word.
    Leaf(String),
    Array(Vec<Tree>),
    /// In the order in which `jsonb` has it: short names first.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    pub(super) fn of(text: &str) -> Result<Self, serde_json::Error> {
        let text = text.trim_ascii();
        match text.as_bytes() {
            [b'{', ..] => {
                let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
                let mut fields: Vec<_> = fields.into_iter().collect();
                fields.sort_by_key(|(name, _)| name.len());
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| Ok((name, Self::of(value.get())?)));
                Ok(Self::Object(fields.collect::<Result<_, _>>()?))
            }
            [b'[', ..] => {
                let values: Vec<&RawValue> = serde_json::from_str(text)?;
                let values = values.into_iter().map(|value| Self::of(value.get()));
                Ok(Self::Array(values.collect::<Result<_, _>>()?))
            }
            [b'-' | b'0'..=b'9', ..] => Ok(Self::Leaf(number::normal(text))),
            [b'"', ..] => {
                let string: String = serde_json::from_str(text)?;
                Ok(Self::Leaf(quoted(&string)))
            }
            _ => Ok(Self::Leaf(text.to_owned())),
        }
    }

    /// Writes the value as Postgres gives it back, but for spaces.
    pub(super) fn write(&self, text: &mut String) {
        match self {
            Self::Leaf(leaf) => text.push_str(leaf),
            Self::Array(values) => {
                text.push('[');
                for (at, value) in values.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    value.write(text);
                }
                text.push(']');
            }
            Self::Object(fields) => {
                text.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    text.push_str(&quoted(name));
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }

    /// Returns where another value differs from this one, if it does, as the names and indexes that lead there.
    ///
    /// Elements may come in another order: a set has none.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        match (self, other) {
            _ if self == other => None,
            (Self::Object(ours), Self::Object(theirs)) => {
                let theirs: BTreeMap<_, _> = theirs.iter().map(|(name, it)| (name, it)).collect();
                let differ = ours.iter().find_map(|(name, ours)| {
                    let inner = match theirs.get(name) {
                        Some(theirs) => ours.difference(theirs)?,
                        None => String::new(),
                    };
                    Some(inside(name, &inner))
                });
                // Otherwise there is something more, which has no place in what was written.
                differ.or_else(|| (ours.len() != theirs.len()).then(String::new))
            }
            (Self::Array(ours), Self::Array(theirs)) if ours.len() == theirs.len() => {
                let mut sorted: [Vec<_>; 2] =
                    [ours, theirs].map(|values| values.iter().map(Self::sorted).collect());
                sorted.iter_mut().for_each(|values| values.sort());
                if sorted[0] == sorted[1] {
                    return None;
                }
                let mut pairs = ours.iter().zip(theirs).enumerate();
                pairs.find_map(|(at, (ours, theirs))| {
                    let inner = ours.difference(theirs)?;
                    Some(inside(&format!("[{at}]"), &inner))
                })
            }
            _ => Some(String::new()),
        }
    }

    /// Writes the value so that the order of its elements does not matter.
    fn sorted(&self) -> String {
        let inner = |values: Vec<String>| format!("[{}]", values.join(","));
        match self {
            Self::Leaf(leaf) => leaf.clone(),
            Self::Array(values) => {
                let mut values: Vec<_> = values.iter().map(Self::sorted).collect();
                values.sort();
                inner(values)
            }
            Self::Object(fields) => {
                let fields = fields.iter();
                inner(
                    fields
                        .map(|(name, it)| quoted(name) + &it.sorted())
                        .collect(),
                )
            }
        }
    }
}

fn quoted(string: &str) -> String {
    serde_json::Value::from(string).to_string()
}

/// Puts a name or an index in front of a path.
fn inside(step: &str, path: &str) -> String {
    match path {
        "" => step.into(),
        index if index.starts_with('[') => format!("{step}{index}"),
        inner => format!("{step}.{inner}"),
    }
}

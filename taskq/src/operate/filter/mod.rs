//! The filter: one small language that says which tasks are meant, the same in Rust, in a shell and in a URL.

mod age;
mod error;
mod parse;
mod pattern;
mod term;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

#[cfg(any(feature = "cli", feature = "dashboard"))]
pub(crate) use self::age::Age;
pub use self::error::FilterError;
use self::pattern::Pattern;
use self::term::Term;
use crate::task::registration::all_linked_secrets;

/// Which tasks are meant: `state:dead type:send_* error:"timed out" older:1h`.
///
/// A filter is made of terms, and a task matches if it matches each of them. A term has one value or several, with
/// commas between them; one that matches is enough. Without a term it is all tasks.
///
/// | term | the task |
/// | --- | --- |
/// | `state:dead` | is in this state: `waiting`, `due` and `scheduled` (which wait, and are due or not yet), `running`, `completed`, `refused`, and `discarded`, `cancelled`, `invalid`, `quarantined`, `expired`, which together are `dead` |
/// | `type:send_*`, `queue:mail` | has this task type, is in this queue; `*` is any text, and `\*` is the character |
/// | `payload.usr_id:42` | has this in its payload, as text; `payload.to.0.name:ada` goes deeper; `null` is also what is absent |
/// | `error:"timed out"` | has this in its last error, in upper or lower case |
/// | `older:1h`, `newer:2d` | was enqueued (if it waits), claimed (if it runs), refused or finished longer ago, or less long ago; `s`, `m`, `h`, `d`, `w` |
/// | `cause:32de344de1e0a534` | died of this: see [`Operator::causes`](super::Operator::causes) |
/// | `id:42` | is this one |
/// | `group:7` | is a member of this group |
///
/// A value with a space, a comma or a quote in it stands in quotes, where `\"` is a quote and `\\` a backslash. Each
/// term may be there once; only `payload` may be there for several fields.
///
/// ```
/// use taskq::operate::Filter;
///
/// let filter: Filter = "state:dead  type:send_*,purge payload.usr_id:42".parse()?;
/// assert_eq!(filter.to_string(), "state:dead type:send_*,purge payload.usr_id:42");
/// let error = "stat:dead".parse::<Filter>().unwrap_err();
/// assert!(error.to_string().contains("did you mean `state`?"));
/// # Ok::<_, taskq::operate::FilterError>(())
/// ```
///
/// A filter has at most 2,000 bytes and 100 values. Values are only ever sent to Postgres as parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

/// The term for the tasks that died, as they are counted.
#[cfg(any(feature = "cli", feature = "dashboard"))]
pub(crate) const DIED: &str = "state:died";

impl Filter {
    /// Returns it as the functions in the database take it.
    pub(crate) fn to_json(&self) -> Value {
        let mut filter = Map::new();
        let mut payload = Vec::new();
        for term in &self.terms {
            match term {
                Term::State(values) => _ = filter.insert("state".into(), json!(values)),
                Term::Type(names) => put_names(&mut filter, "type", names),
                Term::Queue(names) => put_names(&mut filter, "queue", names),
                Term::Payload { path, values } => {
                    payload.push(json!({"path": path, "values": values}));
                }
                Term::Error(values) => _ = filter.insert("error".into(), json!(values)),
                Term::Older(age) => _ = filter.insert("older".into(), json!(age.seconds())),
                Term::Newer(age) => _ = filter.insert("newer".into(), json!(age.seconds())),
                Term::Cause(values) => _ = filter.insert("cause".into(), json!(values)),
                Term::Id(values) => _ = filter.insert("id".into(), json!(values)),
                Term::Group(values) => _ = filter.insert("group".into(), json!(values)),
            }
        }
        if !payload.is_empty() {
            filter.insert("payload".into(), payload.into());
            let secret = all_linked_secrets();
            if !secret.is_empty() {
                filter.insert("secret".into(), json!(secret));
            }
        }
        filter.into()
    }

    /// Returns the filter of one state.
    pub(crate) fn of_state(state: &str) -> Self {
        Self {
            terms: vec![Term::State(vec![state.to_owned()])],
        }
    }

    /// Returns the filter of one queue, one task type, or both, whatever characters their names have.
    #[cfg(feature = "dashboard")]
    pub(crate) fn of_names(queue: Option<&str>, task_type: Option<&str>) -> Self {
        let named = |name: &str| vec![Pattern::of_name(name)];
        let queue = queue.map(|name| Term::Queue(named(name)));
        let task_type = task_type.map(|name| Term::Type(named(name)));
        Self {
            terms: queue.into_iter().chain(task_type).collect(),
        }
    }
}

/// Names are looked up, and patterns are compared.
fn put_names(filter: &mut Map<String, Value>, key: &str, names: &[Pattern]) {
    let exact: Vec<String> = names.iter().filter_map(Pattern::exact).collect();
    let like = names.iter().filter(|name| name.exact().is_none());
    let like: Vec<String> = like.map(Pattern::like).collect();
    for (key, values) in [(key.to_owned(), exact), (format!("{key}_like"), like)] {
        if !values.is_empty() {
            filter.insert(key, json!(values));
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::terms(text).map(|terms| Self { terms })
    }
}

/// As it is written: what is read from that is the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            term.fmt(f)?;
        }
        Ok(())
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

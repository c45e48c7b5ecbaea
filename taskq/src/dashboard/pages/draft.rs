//! A payload that somebody writes, in fields or as JSON: what they have typed, and what is wrong with it.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::dashboard::board::Asked;
use crate::dashboard::failure::Failure;
use crate::dashboard::form::Form;
use crate::dashboard::text::{link, pretty};
use crate::error::error_text;
use crate::task::registration::Registration;

/// A payload that somebody writes.
pub(super) struct Draft {
    /// Its fields, unless it is written as JSON.
    pub(super) form: Option<Form>,
    pub(super) raw: String,
    /// Where it is written in the other way, if it can be.
    pub(super) other: Option<String>,
    pub(super) problem: Option<String>,
    /// What is typed beside it.
    pub(super) queue: String,
    pub(super) priority: String,
    pub(super) at: String,
    pub(super) reason: String,
    pub(super) is_unchecked: bool,
}

impl Draft {
    /// Begins with a payload, in fields where they have a place for all of it. `page` is where it is written, and how.
    pub(super) fn of(
        asked: &Asked,
        handler: Option<&Registration>,
        payload: &str,
        page: (&str, &[(&str, &str)]),
    ) -> Self {
        let form = handler.and_then(form).and_then(|form| form.filled(payload));
        let is_raw = asked.said.has("raw");
        let (name, query) = page;
        let other = form.is_some().then(|| match is_raw {
            true => link(name, query),
            false => link(name, &[query, &[("raw", "1")]].concat()),
        });
        Self {
            form: form.filter(|_| !is_raw),
            raw: pretty(payload),
            other,
            ..Self::typed_beside(asked)
        }
    }

    /// Takes what somebody has sent.
    pub(super) fn sent(asked: &Asked, handler: Option<&Registration>) -> Self {
        let form = handler.and_then(form).filter(|_| asked.said.has("fields"));
        Self {
            form: form.map(|form| form.typed(&asked.said)),
            raw: asked.said.text("payload").unwrap_or("{}").to_owned(),
            ..Self::typed_beside(asked)
        }
    }

    fn typed_beside(asked: &Asked) -> Self {
        let typed = |name| asked.said.text(name).unwrap_or_default().to_owned();
        Self {
            form: None,
            raw: String::new(),
            other: None,
            problem: None,
            queue: typed("queue"),
            priority: typed("priority"),
            at: typed("at"),
            reason: typed("reason"),
            is_unchecked: asked.said.has("unchecked"),
        }
    }

    /// Returns the payload that was sent.
    pub(super) fn payload(&mut self) -> Result<Box<RawValue>, Failure> {
        match &mut self.form {
            Some(form) => form.payload().ok_or_else(|| {
                Failure::Refused("some fields are not as they should be".to_owned())
            }),
            None => RawValue::from_string(self.raw.clone())
                .map_err(|error| Failure::Refused(format!("the payload is no JSON: {error}"))),
        }
    }

    /// Decodes the payload as the handler of its type would, and returns that; `None` if the draft says not to.
    pub(super) fn checked<'a>(
        &mut self,
        asked: &'a Asked,
        task_type: &str,
        payload: &RawValue,
    ) -> Result<Option<&'a Registration>, Failure> {
        if self.is_unchecked {
            return Ok(None);
        }
        let registry = asked.registry()?;
        let Some(handler) = registry.find(task_type) else {
            let similar = registry.similar_to(task_type);
            let similar = similar.map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
            return Err(Failure::Refused(format!(
                "this program has no task type `{task_type}`{similar} (say \"unchecked\" to take the payload as it is)"
            )));
        };
        let decoded = handler.reads(task_type, payload, Some(handler.options.version));
        decoded.map(|()| Some(handler)).map_err(|error| {
            let path = error.path().to_owned();
            let text = error_text(&error);
            let cause = error.into_cause();
            if let Some(form) = &mut self.form {
                form.blame(&path, &error_text(&*cause));
            }
            Failure::Refused(format!("the payload does not fit `{task_type}`: {text}"))
        })
    }
}

fn form(handler: &Registration) -> Option<Form> {
    Form::of(&schema(handler)?, handler.options.secret)
}

/// Returns the JSON Schema of a type's payload, where it is known.
#[cfg(feature = "schemars")]
pub(super) fn schema(handler: &Registration) -> Option<Value> {
    (handler.json_schema)().map(schemars::Schema::to_value)
}

#[cfg(not(feature = "schemars"))]
pub(super) fn schema(_: &Registration) -> Option<Value> {
    None
}

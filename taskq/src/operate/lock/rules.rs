//! What a change must not do, and how to mend a change that does.

use std::fmt;

/// A change that strands rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) task_type: String,
    /// Where in the payload; `.` is the whole.
    pub(crate) path: String,
    pub(crate) rule: Rule,
}

/// The rule that a change breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    TaskTypeGone,
    AliasGone(String),
    VersionLowered {
        from: u16,
        to: u16,
    },
    VersionNotRead {
        version: u16,
    },
    FieldRemoved,
    FieldRequired,
    TypeChanged {
        from: String,
        to: String,
    },
    Narrowed(String),
    NoSchema,
    NoSchemaOfType(String),
    NoSchemaOfVersion(u16),
    /// What the upgrade reads of an older version breaks a rule.
    OfVersion {
        version: u16,
        rule: Box<Rule>,
    },
}

impl Violation {
    pub(crate) fn new(task_type: &str, path: impl Into<String>, rule: Rule) -> Self {
        Self {
            task_type: task_type.into(),
            path: path.into(),
            rule,
        }
    }

    /// Says that it is about an older version.
    pub(crate) fn of_version(self, version: u16) -> Self {
        let rule = Box::new(self.rule);
        Self {
            rule: Rule::OfVersion { version, rule },
            ..self
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task_type, path, ..
        } = self;
        match &self.rule {
            Rule::TaskTypeGone => write!(
                f,
                "`{task_type}`: task type gone. No worker will claim its waiting rows. If the type was renamed, write `alias = \"{task_type}\"` in the `#[task]` of the new name. If you do not need it any more, keep the handler until no row waits"
            ),
            Rule::AliasGone(alias) => write!(
                f,
                "`{task_type}`: alias `{alias}` gone. No worker will claim the rows that wait under it. Keep the alias until no row waits under it"
            ),
            Rule::VersionLowered { from, to } => write!(
                f,
                "`{task_type}`: version lowered from {from} to {to}. Rows of version {from} are not read. Raise `version` to {} instead, with a step in `upgrade`",
                from.saturating_add(1)
            ),
            Rule::VersionNotRead { version } => write!(
                f,
                "`{task_type}`: version {version} not read any more. Rows of that version may wait. Write a step from it in `upgrade`, the oldest first"
            ),
            Rule::FieldRemoved => write!(
                f,
                "`{task_type}`: field removed: `{path}`. Waiting rows have it, and the new program would drop its value unread. Workers of the program before need it in new rows. If the field was renamed, write `#[serde(alias = \"{}\")]` on the field of the new name (inside of a type of yours also `#[schemars(extend(\"x-taskq-alias\" = [\"{}\"]))]`, since schemars shows no alias). If you do not need the field any more, {VERSION}",
                last(path),
                last(path)
            ),
            Rule::FieldRequired => write!(
                f,
                "`{task_type}`: field required: `{path}`. Waiting rows may lack it. Write `#[serde(default)]` on it, make it an `Option`, or {VERSION}"
            ),
            Rule::TypeChanged { from, to } => write!(
                f,
                "`{task_type}`: type changed: `{path}` was {from} and is {to}. Waiting rows have the old type. Take both types, by an untagged enum or `#[serde(deserialize_with = …)]` with a `#[schemars(with = …)]`, or {VERSION}"
            ),
            Rule::Narrowed(what) => write!(
                f,
                "`{task_type}`: values refused: `{path}` {what}. Waiting rows may have a value that this refuses. Go on taking such values, or {VERSION}"
            ),
            Rule::NoSchemaOfVersion(version) => write!(
                f,
                "`{task_type}`: no schema: the type that `upgrade` reads of version {version} has none, so its changes are not seen. Derive `schemars::JsonSchema` for that type"
            ),
            Rule::OfVersion { version, rule } => {
                write!(f, "`{task_type}`: older version changed: ")?;
                match &**rule {
                    Rule::FieldRemoved => write!(
                        f,
                        "`{path}` is in rows of version {version}, and the type that its step in `upgrade` takes lacks it. Add the field, as a `serde_json::Value` if the step does not need it"
                    ),
                    Rule::FieldRequired => write!(
                        f,
                        "`{path}` may be missing in rows of version {version}, and the type that its step in `upgrade` takes requires it. Write `#[serde(default)]` on it, or make it an `Option`"
                    ),
                    Rule::TypeChanged { from, to } => write!(
                        f,
                        "`{path}` is {from} in rows of version {version}, and {to} in the type that its step in `upgrade` takes. Give the field its old type there"
                    ),
                    Rule::Narrowed(what) => write!(
                        f,
                        "`{path}` {what} in the type that the step in `upgrade` from version {version} takes. Rows of that version may have a value that this refuses. Go on taking such values"
                    ),
                    other => write!(f, "{other:?}"),
                }
            }
            Rule::NoSchema => write!(
                f,
                "`{task_type}`: no schema: the payload has none, so its changes are not seen. Derive `schemars::JsonSchema` for it, or write `Payload::json_schema`"
            ),
            Rule::NoSchemaOfType(ty) => write!(
                f,
                "`{task_type}`: no schema: `{path}` is of the type `{ty}`, whose form is not known, so its changes are not seen. Derive `schemars::JsonSchema` for the type, or write `#[schemars(with = \"…\")]` on the argument with a type of the same form, such as `String`"
            ),
        }
    }
}

const VERSION: &str = "raise `version` and write a step in `upgrade`";

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

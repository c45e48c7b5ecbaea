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
                "`{task_type}`: task type gone. No worker will claim the rows that wait. If it was renamed, write `alias = \"{task_type}\"` in the `#[task]` of its new name; if it is over, keep its handler until no row waits"
            ),
            Rule::AliasGone(alias) => write!(
                f,
                "`{task_type}`: alias `{alias}` gone. No worker will claim the rows that wait under it. Keep the alias until there are none"
            ),
            Rule::VersionLowered { from, to } => write!(
                f,
                "`{task_type}`: version lowered from {from} to {to}. Rows of version {from} are not read. Raise `version` to {} instead, with a step in `upgrade`",
                from.saturating_add(1)
            ),
            Rule::VersionNotRead { version } => write!(
                f,
                "`{task_type}`: version {version} not read any more. Rows of it may wait. Write a step from it in `upgrade`, the oldest first"
            ),
            Rule::FieldRemoved => write!(
                f,
                "`{task_type}`: field removed: `{path}`. Rows that wait have it, and what is in it would be dropped unread; workers of the program before need it in new rows. If it was renamed, write `#[serde(alias = \"{}\")]` on the field of the new name (inside of a type of yours also `#[schemars(extend(\"x-taskq-alias\" = [\"{}\"]))]`, since schemars shows no alias); if it is over, {VERSION}",
                last(path),
                last(path)
            ),
            Rule::FieldRequired => write!(
                f,
                "`{task_type}`: field required: `{path}`. Rows that wait may lack it. Write `#[serde(default)]` on it, make it an `Option`, or {VERSION}"
            ),
            Rule::TypeChanged { from, to } => write!(
                f,
                "`{task_type}`: type changed: `{path}` was {from} and is {to}. Rows that wait have it as it was. Take both, by an untagged enum or `#[serde(deserialize_with = …)]` with a `#[schemars(with = …)]`, or {VERSION}"
            ),
            Rule::Narrowed(what) => write!(
                f,
                "`{task_type}`: values refused: `{path}` {what}. Rows that wait may have such a value. Go on taking it, or {VERSION}"
            ),
            Rule::NoSchemaOfVersion(version) => write!(
                f,
                "`{task_type}`: no schema: what `upgrade` reads of version {version} has none, so its changes are not seen. Derive `schemars::JsonSchema` for the type that its step takes"
            ),
            Rule::OfVersion { version, rule } => {
                write!(f, "`{task_type}`: older version changed: ")?;
                match &**rule {
                    Rule::FieldRemoved => write!(
                        f,
                        "`{path}` is in rows of version {version}, and the type that its step in `upgrade` takes lacks it. Add the field; where the step does not need it, as a `serde_json::Value`"
                    ),
                    Rule::FieldRequired => write!(
                        f,
                        "`{path}` may be missing in rows of version {version}, and the type that its step in `upgrade` takes requires it. Write `#[serde(default)]` on it, or make it an `Option`"
                    ),
                    Rule::TypeChanged { from, to } => write!(
                        f,
                        "`{path}` is {from} in rows of version {version}, and {to} in the type that its step in `upgrade` takes. Have the type take what it was"
                    ),
                    Rule::Narrowed(what) => write!(
                        f,
                        "`{path}` {what} in the type that the step in `upgrade` from version {version} takes, and rows of it may have such a value. Go on taking it"
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

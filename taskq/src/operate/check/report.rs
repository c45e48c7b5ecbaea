//! The report of a check: stranded tasks counted by task type and reason, in bounded memory.

use std::collections::BTreeMap;

use serde::Serialize;

/// How many findings are kept. A payload with a map in it has as many paths as there are keys.
const FINDING_LIMIT: usize = 200;

/// How many task ids are kept of each finding: enough to look some up.
const SAMPLE: usize = 10;

/// How many characters of a text are kept that may quote a payload, of up to a mebibyte.
const TEXT_LIMIT: usize = 300;

/// What [`check`](crate::WorkerBuilder::check) has found in the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// How many waiting tasks the check has read, due or not yet.
    pub waiting: u64,
    /// How many running tasks the check has read.
    pub running: u64,
    /// How many of both the program would not run.
    pub stranded: u64,
    /// The stranded tasks by task type and reason, sorted; at most 200 findings.
    pub findings: Vec<Finding>,
    /// How many stranded tasks are in no finding, because there were more than 200 findings.
    pub omitted: u64,
    /// The schedules that the program could not follow, or whose tasks it would not run. Without the feature `cron` it
    /// reads none.
    pub schedules: Vec<StrandedSchedule>,
}

/// A schedule that a program could not follow, or whose tasks it would not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StrandedSchedule {
    /// Its name.
    pub name: String,
    /// The type of its tasks.
    pub task_type: String,
    /// What is wrong. Cut after 300 characters.
    pub problem: String,
}

impl CheckReport {
    /// Tells whether the program would run every task that the check has read, and follow every schedule.
    pub fn is_clean(&self) -> bool {
        self.stranded == 0 && self.schedules.is_empty()
    }
}

/// Tasks of one type that a program would not run, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The name that the rows have, which may be an alias.
    pub task_type: String,
    /// Why the program would not run them.
    #[serde(flatten)]
    pub reason: Stranded,
    /// How many they are.
    pub count: u64,
    /// The ids of the first ten that were found.
    pub task_ids: Vec<i64>,
}

/// Why a program would not run a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stranded {
    /// No handler of the program has this name. The task waits.
    UnknownType {
        /// A name that looks like it, if there is one.
        similar: Option<&'static str>,
    },
    /// The payload is of a newer version than the program knows. The task waits.
    NewerVersion {
        /// Its version.
        version: u16,
        /// The newest that the program knows.
        known: u16,
    },
    /// The payload does not decode, or is refused, and the task would be set aside as invalid.
    Invalid {
        /// Where the first mistake is, such as `user.email`; `.` is the whole. Cut after 300 characters.
        path: String,
        /// What is wrong with the first of these payloads. Cut after 300 characters.
        error: String,
    },
}

/// What tells the findings of one task type apart.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    UnknownType,
    NewerVersion(u16),
    Invalid(String),
}

/// The report as it grows.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    report: CheckReport,
    findings: BTreeMap<(String, Kind), Finding>,
}

impl Findings {
    /// Counts a waiting task, and the reason if it is stranded.
    pub(crate) fn waiting(&mut self, task_id: i64, task_type: &str, stranded: Option<Stranded>) {
        self.report.waiting += 1;
        self.add(task_id, task_type, stranded);
    }

    /// Counts a running task.
    pub(crate) fn running(&mut self, task_id: i64, task_type: &str, stranded: Option<Stranded>) {
        self.report.running += 1;
        self.add(task_id, task_type, stranded);
    }

    /// Adds a schedule.
    #[cfg(feature = "cron")]
    pub(crate) fn schedule(&mut self, name: String, task_type: String, problem: String) {
        self.report.schedules.push(StrandedSchedule {
            name,
            task_type,
            problem: cut(problem),
        });
    }

    fn add(&mut self, task_id: i64, task_type: &str, stranded: Option<Stranded>) {
        let Some(reason) = stranded.map(Stranded::cut) else {
            return;
        };
        self.report.stranded += 1;
        let key = (task_type.to_owned(), reason.kind());
        let is_full = self.findings.len() >= FINDING_LIMIT;
        if is_full && !self.findings.contains_key(&key) {
            self.report.omitted += 1;
            return;
        }
        let finding = self.findings.entry(key).or_insert_with(|| Finding {
            task_type: task_type.to_owned(),
            reason,
            count: 0,
            task_ids: Vec::new(),
        });
        finding.count += 1;
        if finding.task_ids.len() < SAMPLE {
            finding.task_ids.push(task_id);
        }
    }

    pub(crate) fn into_report(self) -> CheckReport {
        CheckReport {
            findings: self.findings.into_values().collect(),
            ..self.report
        }
    }
}

impl Stranded {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownType { .. } => Kind::UnknownType,
            Self::NewerVersion { version, .. } => Kind::NewerVersion(*version),
            Self::Invalid { path, .. } => Kind::Invalid(path.clone()),
        }
    }

    fn cut(self) -> Self {
        match self {
            Self::Invalid { path, error } => Self::Invalid {
                path: cut(path),
                error: cut(error),
            },
            short => short,
        }
    }
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(TEXT_LIMIT) {
        text.truncate(at);
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(path: &str) -> Option<Stranded> {
        Some(Stranded::Invalid {
            path: path.into(),
            error: format!("wrong at {path}"),
        })
    }

    #[test]
    fn what_is_wrong_is_counted_by_type_and_reason() {
        let mut findings = Findings::default();
        findings.waiting(1, "b", invalid("x"));
        findings.waiting(2, "a", invalid("x"));
        findings.waiting(3, "a", None);
        findings.waiting(4, "b", invalid("y"));
        findings.running(5, "b", invalid("x"));
        findings.running(6, "b", Some(Stranded::UnknownType { similar: None }));
        let report = findings.into_report();
        let summary: Vec<_> = (report.findings.iter())
            .map(|finding| {
                let ids = &*finding.task_ids;
                (
                    &*finding.task_type,
                    finding.reason.kind(),
                    finding.count,
                    ids,
                )
            })
            .collect();
        let kind = |path: &str| Kind::Invalid(path.into());
        assert_eq!(
            summary,
            [
                ("a", kind("x"), 1, &[2][..]),
                ("b", Kind::UnknownType, 1, &[6]),
                ("b", kind("x"), 2, &[1, 5]),
                ("b", kind("y"), 1, &[4]),
            ]
        );
        assert_eq!((report.waiting, report.running, report.stranded), (4, 2, 5));
        assert!(!report.is_clean());
    }

    #[test]
    fn more_than_can_be_kept_is_counted() {
        let mut findings = Findings::default();
        for task_id in 0..1_000 {
            findings.waiting(task_id, "a", invalid(&task_id.to_string()));
            findings.waiting(task_id, "a", invalid("0"));
        }
        let report = findings.into_report();
        assert_eq!(report.findings.len(), FINDING_LIMIT);
        assert_eq!((report.stranded, report.omitted), (2_000, 800));
        let first = &report.findings[0];
        assert_eq!((first.count, first.task_ids.len()), (1_001, SAMPLE));
    }

    #[test]
    fn texts_that_quote_a_payload_are_cut_between_characters() {
        let mut findings = Findings::default();
        findings.waiting(1, "a", invalid(&"ä".repeat(100_000)));
        let report = findings.into_report();
        let Stranded::Invalid { path, error } = &report.findings[0].reason else {
            panic!("{report:?}");
        };
        assert_eq!(*path, format!("{}…", "ä".repeat(TEXT_LIMIT)));
        assert!(error.ends_with('…'));
    }
}

//! Which changes from one lock file to the next strand rows.

use super::file::{LockFile, TaskEntry};
use super::payloads;
use super::rules::{Rule, Violation};

impl LockFile {
    /// Says which changes from `self` to `next` strand rows.
    pub(crate) fn stranded_by(&self, next: &Self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (name, task) in &self.tasks {
            match next.find(name) {
                Some(next) => violations.extend(task.stranded_by(name, next)),
                None => violations.push(Violation::new(name, ".", Rule::TaskTypeGone)),
            }
            for alias in task
                .aliases
                .iter()
                .filter(|alias| next.find(alias).is_none())
            {
                violations.push(Violation::new(name, ".", Rule::AliasGone(alias.clone())));
            }
        }
        violations
    }

    /// Says which task types are limited otherwise in `next`. That strands no rows.
    pub(crate) fn limited_otherwise(&self, next: &Self) -> Vec<String> {
        let both = self.tasks.iter();
        let both = both.filter_map(|(name, task)| Some((name, task, next.find(name)?)));
        let changed = both.filter(|(_, task, next)| task.limits != next.limits);
        let words = |task: &TaskEntry| match task.limits.is_empty() {
            true => "none".to_owned(),
            false => task.limits.join(" and "),
        };
        changed
            .map(|(name, task, next)| {
                let comes = match next.limits.is_empty() {
                    true => {
                        "It ends a quarter of an hour after the last worker of the program before"
                    }
                    false => "It holds for all workers as soon as one of this program starts",
                };
                let (before, after) = (words(task), words(next));
                format!("`{name}`: limit changed from {before} to {after}. {comes}")
            })
            .collect()
    }

    /// Finds the task type that rows of this name belong to.
    fn find(&self, name: &str) -> Option<&TaskEntry> {
        self.tasks.get(name).or_else(|| {
            let mut tasks = self.tasks.values();
            tasks.find(|task| task.aliases.iter().any(|alias| alias == name))
        })
    }
}

impl TaskEntry {
    fn stranded_by(&self, name: &str, next: &Self) -> Vec<Violation> {
        let mut violations = Vec::new();
        if next.version < self.version {
            let (from, to) = (self.version, next.version);
            violations.push(Violation::new(name, ".", Rule::VersionLowered { from, to }));
        } else if next.oldest_version > self.oldest_version {
            let version = self.oldest_version;
            violations.push(Violation::new(name, ".", Rule::VersionNotRead { version }));
        } else if next.version == self.version {
            violations.extend(payloads::compare(name, &self.payload, &next.payload));
        }
        // Else the upgrade reads the rows. The compiler says that the types of its steps meet; only the
        // lock file can say that the first of them has the form of the rows.
        let known = self
            .older
            .iter()
            .map(|(version, payload)| (*version, payload));
        for (version, before) in known.chain([(self.version, &self.payload)]) {
            if let Some(after) = next.older.get(&version) {
                let broken = payloads::compare(name, before, after);
                let broken = broken.into_iter();
                violations.extend(broken.map(|violation| violation.of_version(version)));
            }
        }
        violations
    }
}

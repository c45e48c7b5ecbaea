//! What was measured, as a table for people and as lines for programs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::modes::{Effort, Mode, Network, Remote};
use crate::sample::{Sample, Spread, Stretch};
use crate::systems::{Family, System};
use crate::why::Why;

/// All rounds of one mode.
pub struct Outcome {
    pub mode: Mode,
    pub rows: Vec<Row>,
    /// Who did not take part, and why.
    pub absent: Vec<(&'static str, String)>,
    /// The same systems where nothing stands in their way, if this is about what does.
    pub plain: Vec<Row>,
}

/// The rounds of one system.
#[derive(Clone)]
pub struct Row {
    pub system: Arc<dyn System>,
    pub rounds: Vec<Sample>,
}

impl Row {
    pub fn spread(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(of))
    }
}

impl Outcome {
    /// Returns the row of the peer that does best.
    fn best_peer(&self) -> Option<&Row> {
        let goodness = |row: &&Row| {
            row.spread(|sample| self.mode.goodness(sample))
                .map_or(f64::MIN, |spread| spread.median)
        };
        self.rows
            .iter()
            .filter(|row| row.system.family() == Family::Peer)
            .max_by(|a, b| goodness(a).total_cmp(&goodness(b)))
    }

    fn bare(&self) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.system.family() == Family::Bare)
    }

    fn plain(&self, row: &Row) -> Option<&Row> {
        let name = row.system.name();
        self.plain.iter().find(|plain| plain.system.name() == name)
    }

    /// Compares two systems round by round, because a machine drifts.
    fn ratio(&self, row: &Row, to: Option<&Row>) -> Option<Spread> {
        let pairs = row.rounds.iter().zip(&to?.rounds);
        Spread::of(
            pairs.filter_map(|(one, other)| {
                Some(self.mode.goodness(one)? / self.mode.goodness(other)?)
            }),
        )
    }

    /// Compares a system with itself where nothing stands in its way: within one measurement, or round by round.
    fn ratio_to_plain(&self, row: &Row) -> Option<Spread> {
        row.spread(|sample| Some(sample.per_second? / sample.plain_per_second?))
            .or_else(|| self.ratio(row, self.plain(row)))
    }

    /// Returns a line of JSON for each system.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            system: &'a str,
            mode: String,
            tasks: u64,
            per_second: Option<f64>,
            p50_ms: Option<f64>,
            p99_ms: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            after_commit_p50_ms: Option<f64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            after_commit_p99_ms: Option<f64>,
            ratio_to_best_peer: Option<f64>,
            ratio_to_bare_sql: Option<f64>,
            ratio_to_plain: Option<f64>,
            per_second_min: Option<f64>,
            per_second_max: Option<f64>,
            rounds: usize,
            wal_bytes_per_task: Option<f64>,
            commits_per_task: Option<f64>,
            dead_rows: Option<f64>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            stretches: &'a [Stretch],
            #[serde(skip_serializing_if = "Option::is_none")]
            why: Option<&'a Why>,
        }
        let mut lines = String::new();
        for row in &self.rows {
            let rate = row.spread(|sample| sample.per_second);
            let median = |of: fn(&Sample) -> Option<f64>| row.spread(of).map(|it| it.median);
            let line = Line {
                system: row.system.name(),
                mode: self.mode.to_string(),
                tasks: median(|sample| Some(sample.tasks as f64)).unwrap_or(0.0) as u64,
                per_second: rate.map(|it| it.median),
                p50_ms: median(|sample| sample.p50_ms),
                p99_ms: median(|sample| sample.p99_ms),
                after_commit_p50_ms: median(|sample| sample.after_commit_p50_ms),
                after_commit_p99_ms: median(|sample| sample.after_commit_p99_ms),
                ratio_to_best_peer: self.ratio(row, self.best_peer()).map(|it| it.median),
                ratio_to_bare_sql: self.ratio(row, self.bare()).map(|it| it.median),
                ratio_to_plain: self.ratio_to_plain(row).map(|it| it.median),
                per_second_min: rate.map(|it| it.least),
                per_second_max: rate.map(|it| it.most),
                rounds: row.rounds.len(),
                wal_bytes_per_task: median(|sample| sample.wal_bytes_per_task),
                commits_per_task: median(|sample| sample.commits_per_task),
                dead_rows: median(|sample| sample.dead_rows),
                stretches: row.rounds.last().map_or(&[], |sample| &sample.stretches),
                why: row.rounds.last().and_then(|sample| sample.why.as_ref()),
            };
            let line = serde_json::to_string(&line).expect("numbers and strings have JSON");
            lines.push_str(&line);
            lines.push('\n');
        }
        lines
    }

    /// Returns the table of this mode.
    pub fn table(&self, effort: &Effort) -> String {
        let mut text = format!("\n{}: {}\n", self.mode, self.mode.explanation(effort));
        let _ = writeln!(
            text,
            "{:<16} {:>9} {:>19} {:>9} {:>9} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8}",
            "",
            "TASKS/S",
            "MIN..MAX",
            "P50 MS",
            "P99 MS",
            "×PEER",
            "×BARE",
            "×PLAIN",
            "WAL B",
            "COMMITS",
            "DEAD"
        );
        for row in &self.rows {
            let rate = row.spread(|sample| sample.per_second);
            let median = |of: fn(&Sample) -> Option<f64>| row.spread(of).map(|it| it.median);
            let _ = writeln!(
                text,
                "{:<16} {:>9} {:>19} {:>9} {:>9} {:>7} {:>7} {:>7} {:>7} {:>8} {:>8}",
                row.system.name(),
                number(rate.map(|it| it.median), 0),
                rate.map_or("-".to_owned(), |it| format!(
                    "{}..{}",
                    number(Some(it.least), 0),
                    number(Some(it.most), 0)
                )),
                number(median(|sample| sample.p50_ms), 2),
                number(median(|sample| sample.p99_ms), 2),
                number(self.ratio(row, self.best_peer()).map(|it| it.median), 2),
                number(self.ratio(row, self.bare()).map(|it| it.median), 2),
                number(self.ratio_to_plain(row).map(|it| it.median), 2),
                number(median(|sample| sample.wal_bytes_per_task), 0),
                number(median(|sample| sample.commits_per_task), 3),
                number(median(|sample| sample.dead_rows), 0),
            );
        }
        self.write_after_commit(&mut text);
        for row in &self.rows {
            for sample in row.rounds.iter().filter(|it| !it.stretches.is_empty()) {
                let _ = writeln!(text, "\n{}\n{}", row.system.name(), Stretch::HEAD);
                for stretch in &sample.stretches {
                    let _ = writeln!(text, "{}", stretch.line());
                }
            }
        }
        for row in &self.rows {
            for sample in &row.rounds {
                if let Some(why) = &sample.why {
                    let _ = write!(text, "\n{}: {}", row.system.name(), why.table(sample.tasks));
                }
            }
        }
        for (system, why) in &self.absent {
            let _ = writeln!(text, "{system:<16} - {why}");
        }
        text
    }
}

impl Outcome {
    /// Writes how long handlers took to begin once the enqueuer's commit had returned, if anybody asked.
    fn write_after_commit(&self, text: &mut String) {
        for row in &self.rows {
            let (Some(p50), Some(p99)) = (
                row.spread(|sample| sample.after_commit_p50_ms),
                row.spread(|sample| sample.after_commit_p99_ms),
            ) else {
                continue;
            };
            let name = format!("{}, from the commit", row.system.name());
            let each = |it: Spread| {
                let [least, most] = [it.least, it.most].map(|it| number(Some(it), 2));
                format!("{} ({least}..{most})", number(Some(it.median), 2))
            };
            let (p50, p99) = (each(p50), each(p99));
            let _ = writeln!(text, "{name:<36} P50 {p50:>20}   P99 {p99:>22}");
        }
    }
}

/// Returns what was measured some time away from Postgres, as one table.
pub fn network(outcomes: &[Outcome]) -> String {
    let rows = outcomes.iter().filter_map(|outcome| match outcome.mode {
        Mode::Network(network) => Some((network, outcome.rows.first()?, outcome)),
        _ => None,
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let of = |round_trip: Duration, what: Remote| {
        let mut rows = rows.iter();
        rows.find(|it| it.0 == Network { round_trip, what })
    };
    let mut text = format!(
        "\nnetwork: medians, and in proportion to the first line\n{:>9} {:>9}",
        "ADDED MS", "RTT MS"
    );
    for head in ["DRAIN/S", "IN TX/S", "INSERT/S", "IDLE P50 MS"] {
        let _ = write!(text, " {head:>18}");
    }
    text.push('\n');
    for round_trip in Network::ROUND_TRIPS {
        let took = rows.iter().filter(|it| it.0.round_trip == round_trip);
        let took = took.filter_map(|it| it.1.spread(|sample| sample.round_trip_ms));
        let _ = write!(
            text,
            "{:>9} {:>9}",
            round_trip.as_secs_f64() * 1e3,
            number(Spread::of(took.map(|it| it.median)).map(|it| it.median), 2)
        );
        for what in Network::WHATS {
            let cell = of(round_trip, what).map_or("-".to_owned(), |(_, row, outcome)| {
                let (value, decimals) = match what {
                    Remote::Idle => (row.spread(|sample| sample.p50_ms), 1),
                    _ => (row.spread(|sample| sample.per_second), 0),
                };
                let ratio = outcome.ratio(row, outcome.plain(row));
                let value = number(value.map(|it| it.median), decimals);
                format!("{value} ({})", number(ratio.map(|it| it.median), 2))
            });
            let _ = write!(text, " {cell:>18}");
        }
        text.push('\n');
    }
    text
}

/// Writes a number with its thousands apart.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = match text.split_once('.') {
        Some((whole, rest)) => (whole, format!(".{rest}")),
        None => (text.as_str(), String::new()),
    };
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && digit != '-' && (whole.len() - at) % 3 == 0 {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart + &rest
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(number(Some(1_234_567.0), 0), "1,234,567");
        assert_eq!(number(Some(0.5), 2), "0.50");
        assert_eq!(number(Some(999.9), 0), "1,000");
        assert_eq!(number(None, 0), "-");
    }
}

//! The drains of one system at points of a grid of its settings: which of them are best on this machine.
//!
//! The grid is a cross: the settings that a normal run uses, and beside them each setting changed alone. When a point
//! beside them is best time and again, it should become what a normal run uses.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::modes::{Bench, Effort, Mode};
use crate::report::number;
use crate::sample::Spread;
use crate::server::Server;
use crate::systems::{self, Handler};

/// Measures the system and returns the tables. A point that fails is told of in its line.
pub async fn measure(server: &Server, effort: Effort, arguments: &Arguments) -> Result<String> {
    let name = arguments.sweep.as_deref().context("no system is named")?;
    let mut text = String::new();
    for handler in [Handler::Nothing, Handler::Waits, Handler::Inserts] {
        let mode = Mode::Drain(handler);
        if !arguments.wants_situation(&mode.explanation(&effort)) {
            continue;
        }
        let mut lines: Vec<Line> = systems::grid(name, handler)
            .with_context(|| format!("no system `{name}` has a grid of settings"))?
            .into_iter()
            .filter(|point| point.system.absent_from(&mode).is_none())
            .map(Line::new)
            .collect();
        for round in 1..=effort.rounds {
            for line in &mut lines {
                line.measure(server, effort, mode, round).await;
            }
        }
        if !lines.is_empty() {
            text.push_str(&table(name, mode, &effort, &lines));
        }
    }
    Ok(text)
}

/// What was measured at one point.
struct Line {
    point: systems::Point,
    rates: Vec<f64>,
    failed: Option<String>,
}

impl Line {
    fn new(point: systems::Point) -> Self {
        Self {
            point,
            rates: Vec::new(),
            failed: None,
        }
    }

    async fn measure(&mut self, server: &Server, effort: Effort, mode: Mode, round: usize) {
        let bench = Bench {
            server,
            system: &*self.point.system,
            effort,
            drain_rate: None,
            relay: None,
        };
        match mode.measure(&bench).await {
            Ok(sample) => {
                eprintln!(
                    "{mode}, {}, round {round}: {} tasks/s",
                    self.point.settings,
                    number(sample.per_second, 0)
                );
                self.rates.extend(sample.per_second);
            }
            Err(error) => {
                eprintln!(
                    "{mode}, {}, round {round} FAILED: {error:#}",
                    self.point.settings
                );
                self.failed = Some(format!("{error:#}"));
            }
        }
    }

    /// Returns its rates, unless a round failed.
    fn spread(&self) -> Option<Spread> {
        match self.failed {
            Some(_) => None,
            None => Spread::of(self.rates.iter().copied()),
        }
    }
}

/// Returns the points in order, the best first.
fn table(name: &str, mode: Mode, effort: &Effort, lines: &[Line]) -> String {
    let median = |line: &Line| line.spread().map_or(0.0, |spread| spread.median);
    let mut sorted: Vec<&Line> = lines.iter().collect();
    sorted.sort_by(|a, b| median(b).total_cmp(&median(a)));
    let mut text = format!("\nsweep of {name}, {mode}: {}\n", mode.explanation(effort));
    let _ = writeln!(text, "{:>9} {:>19}", "TASKS/S", "MIN..MAX");
    for line in sorted {
        let in_use = match std::ptr::eq(line, &lines[0]) {
            true => " (in use)",
            false => "",
        };
        let settings = &line.point.settings;
        let _ = match (line.spread(), &line.failed) {
            (Some(spread), _) => {
                let limits = [spread.least, spread.most].map(|rate| number(Some(rate), 0));
                writeln!(
                    text,
                    "{:>9} {:>19} {settings}{in_use}",
                    number(Some(spread.median), 0),
                    limits.join("..")
                )
            }
            (None, why) => {
                let why = why.as_deref().unwrap_or("not measured");
                writeln!(text, "{:>9} {:>19} {settings}{in_use}: {why}", "-", "-")
            }
        };
    }
    text
}

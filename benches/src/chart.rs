//! The chart for the README: two panels of bars, drawn by hand.

use std::fmt::Write as _;

use crate::modes::Mode;
use crate::report::{Outcome, number};
use crate::systems::{Family, Handler};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 20.0;
const STEP: f64 = 28.0;
const HEAD: f64 = 46.0;
const GAP: f64 = 18.0;

/// Greys that read on white and on black, and one colour for taskq.
const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #57606a }
  .title { font-weight: 600; font-size: 15px; fill: #24292f }
  .foot { font-size: 11px }
  .value { font-variant-numeric: tabular-nums }
  .taskq { fill: #2f81f7 } .peer { fill: #8c959f } .bare { fill: none; stroke: #8c959f; stroke-dasharray: 4 3 }
  .own { font-weight: 600; fill: #2f81f7 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 } .title { fill: #f0f6fc } .peer { fill: #656c76 } .bare { stroke: #9198a1 }
  }";

/// What the chart shows, and how each is called there.
const PANELS: [(Mode, &str); 2] = [
    (
        Mode::Drain(Handler::Nothing),
        "Tasks run per second, handlers that do nothing",
    ),
    (
        Mode::Insert {
            clients: 8,
            beside_workers: true,
        },
        "Tasks enqueued per second, one per commit, 8 clients, workers run",
    ),
];

/// Tells whether the chart shows a mode.
pub fn shows(mode: Mode) -> bool {
    PANELS.iter().any(|panel| panel.0 == mode)
}

/// Returns the chart of the drain and of the inserts, or `None` if neither was measured.
pub fn svg(outcomes: &[Outcome], foot: &[String]) -> Option<String> {
    let (mut body, mut y) = (String::new(), 0.0);
    for (mode, title) in PANELS {
        if let Some(outcome) = outcomes.iter().find(|outcome| outcome.mode == mode) {
            panel(&mut body, &mut y, outcome, title);
        }
    }
    if body.is_empty() {
        return None;
    }
    for line in foot {
        y += 15.0;
        let _ = writeln!(
            body,
            r#"<text class="foot" x="12" y="{y}">{}</text>"#,
            escaped(line)
        );
    }
    let height = y + 14.0;
    Some(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<style>{STYLE}
</style>
{body}</svg>
"#
    ))
}

/// Draws the bars of one mode, longest first, below what is there.
fn panel(body: &mut String, y: &mut f64, outcome: &Outcome, title: &str) {
    let mut bars: Vec<_> = outcome
        .rows
        .iter()
        .filter_map(|row| Some((row, row.spread(|sample| sample.per_second)?.median)))
        .collect();
    bars.sort_by(|a, b| b.1.total_cmp(&a.1));
    let longest = bars.first().map_or(1.0, |(_, rate)| *rate);
    let _ = writeln!(
        body,
        r#"<text class="title" x="12" y="{}">{}</text>"#,
        *y + HEAD - 18.0,
        escaped(title)
    );
    *y += HEAD;
    for (row, rate) in bars {
        let (bar, name) = match row.system.family() {
            Family::Taskq => ("taskq", "own"),
            Family::Peer => ("peer", ""),
            Family::Bare => ("bare", ""),
        };
        let width = (rate / longest * (WIDTH - LEFT - RIGHT)).max(2.0);
        let baseline = *y + BAR / 2.0 + 4.5;
        let _ = writeln!(
            body,
            r#"<text class="{name}" x="{}" y="{baseline}" text-anchor="end">{}</text><rect class="{bar}" x="{LEFT}" y="{y}" width="{width:.1}" height="{BAR}" rx="3"/><text class="value {name}" x="{:.1}" y="{baseline}">{}</text>"#,
            LEFT - 10.0,
            escaped(row.system.name()),
            LEFT + width + 8.0,
            number(Some(rate), 0),
        );
        *y += STEP;
    }
    *y += GAP;
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

//! What workers have counted by the minute, as SVG: rates as bars, times as lines on a scale of powers.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::text::{number, span};
use crate::operate::minutes::{MinuteTotal, Spread};

/// How many columns a chart has.
const COLUMNS: usize = 60;

pub(super) const WIDTH: f64 = 360.0;
pub(super) const HEIGHT: f64 = 132.0;

/// How wide the room beside a chart is, in which its lines across are named.
pub(super) const GUTTER: f64 = 56.0;

/// What was counted in the time of one column.
#[derive(Debug, Clone, Default)]
struct Column {
    completed: i64,
    failed: i64,
    died: i64,
    wait: Spread,
    run: Spread,
}

/// A bar of a chart, in the units of its view box.
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) height: String,
    pub(super) class: &'static str,
}

/// What stands over a column: all of it can be pointed at.
pub(super) struct Spot {
    pub(super) x: String,
    pub(super) title: String,
}

/// A line of a chart.
pub(super) struct Line {
    pub(super) class: &'static str,
    pub(super) points: String,
    /// Where a column has no neighbour to be joined with.
    pub(super) dots: Vec<(String, String)>,
}

/// A line across the chart, with what it means.
pub(super) struct Grid {
    pub(super) y: String,
    pub(super) label: String,
}

/// A minute in which a new release appeared.
pub(super) struct Mark {
    pub(super) x: String,
    pub(super) release: String,
}

/// A row of the table beside a chart.
pub(super) struct Row {
    pub(super) at: String,
    pub(super) cells: Vec<String>,
}

pub(super) struct Chart {
    pub(super) title: &'static str,
    /// All of it, in words.
    pub(super) summary: String,
    pub(super) bars: Vec<Bar>,
    pub(super) lines: Vec<Line>,
    pub(super) grid: Vec<Grid>,
    pub(super) spots: Vec<Spot>,
    pub(super) marks: Vec<Mark>,
    pub(super) heads: [&'static str; 3],
    /// The classes of what the heads name.
    pub(super) classes: [&'static str; 3],
    pub(super) rows: Vec<Row>,
    pub(super) bar_width: String,
}

/// The charts of a time until now: what was done, how long tasks waited, how long they ran.
pub(super) fn charts(
    minutes: &[MinuteTotal],
    releases: &[(String, DateTime<Utc>)],
    now: DateTime<Utc>,
    time: Duration,
) -> [Chart; 3] {
    let of_column = TimeDelta::from_std(time / 60).unwrap_or(TimeDelta::minutes(1));
    let start = now - of_column * i32::try_from(COLUMNS).unwrap_or(60);
    let index = |at: DateTime<Utc>| {
        let passed = at.signed_duration_since(start).num_seconds();
        let column = passed.checked_div(of_column.num_seconds().max(1))?;
        usize::try_from(column).ok().filter(|_| passed >= 0)
    };
    let mut columns = vec![Column::default(); COLUMNS];
    for minute in minutes {
        // Its end: the minute under way belongs to the last column.
        let end = minute.minute + TimeDelta::seconds(59);
        let Some(column) = index(end.min(now)).and_then(|it| columns.get_mut(it.min(COLUMNS - 1)))
        else {
            continue;
        };
        column.completed += minute.completed;
        column.failed += minute.failed;
        column.died += minute.died;
        column.wait.merge(&minute.wait);
        column.run.merge(&minute.run);
    }
    let marks = || {
        let inside = releases
            .iter()
            .filter_map(|(release, at)| Some((release, index(*at)?)));
        let mark = |(release, column): (&String, usize)| Mark {
            x: place(x(column.min(COLUMNS - 1))),
            release: release.clone(),
        };
        inside.map(mark).collect()
    };
    let times = Times { start, of_column };
    let range = match time.as_secs() / 3_600 {
        1 => "In the last hour".to_owned(),
        24 => "In the last day".to_owned(),
        hours => format!("In the last {hours} hours"),
    };
    let charts = [
        rates(&columns, &times, marks()),
        spreads("Wait", "waited", &columns, |it| &it.wait, &times, marks()),
        spreads("Run", "ran", &columns, |it| &it.run, &times, marks()),
    ];
    charts.map(|chart| Chart {
        summary: format!("{range}: {}", chart.summary),
        ..chart
    })
}

struct Times {
    start: DateTime<Utc>,
    of_column: TimeDelta,
}

impl Times {
    fn name(&self, column: usize) -> String {
        let at = self.start + self.of_column * i32::try_from(column).unwrap_or_default();
        at.format("%H:%M").to_string()
    }
}

fn x(column: usize) -> f64 {
    WIDTH / COLUMNS as f64 * column as f64
}

fn place(number: f64) -> String {
    format!("{number:.1}")
}

fn rates(columns: &[Column], times: &Times, marks: Vec<Mark>) -> Chart {
    let total = |it: &Column| it.completed + it.failed + it.died;
    let most = columns.iter().map(total).max().unwrap_or_default();
    let scale = HEIGHT / round_up(most.max(1)) as f64;
    let mut bars = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        let mut top = HEIGHT;
        let parts = [
            ("completed", column.completed),
            ("failed", column.failed),
            ("died", column.died),
        ];
        for (class, count) in parts.into_iter().filter(|(_, count)| *count > 0) {
            // What happened once is seen beside what happened a million times.
            let height = (count as f64 * scale).max(1.5);
            top = (top - height).max(0.0);
            bars.push(Bar {
                x: place(x(index) + 0.5),
                y: place(top),
                height: place(height),
                class,
            });
        }
    }
    let cells = |it: &Column| [it.completed, it.failed, it.died].map(number).to_vec();
    let heads = ["completed", "failed", "died"];
    let sums = columns.iter().fold([0; 3], |[a, b, c], it| {
        [a + it.completed, b + it.failed, c + it.died]
    });
    let summary = format!(
        "{} completed, {} failed and were put off for another attempt, {} died",
        number(sums[0]),
        number(sums[1]),
        number(sums[2])
    );
    let top = round_up(most.max(1));
    Chart {
        title: "Done",
        summary,
        bars,
        lines: Vec::new(),
        grid: vec![
            grid(0.0, number(top)),
            grid(HEIGHT / 2.0, half(top)),
            grid(HEIGHT, number(0)),
        ],
        marks,
        heads,
        classes: heads,
        ..table(columns, times, heads, cells)
    }
}

fn half(top: i64) -> String {
    match top % 2 {
        0 => number(top / 2),
        _ => format!("{:.1}", top as f64 / 2.0),
    }
}

/// Returns the next number of one digit and zeros.
fn round_up(number: i64) -> i64 {
    let mut unit = 1;
    while number > unit * 10 {
        unit *= 10;
    }
    (number + unit - 1) / unit * unit
}

fn grid(y: f64, label: String) -> Grid {
    Grid { y: place(y), label }
}

/// What a scale of times can begin and end with, in milliseconds: each about ten times the one before.
const TICKS: [(u32, &str); 10] = [
    (1, "1 ms"),
    (10, "10 ms"),
    (100, "100 ms"),
    (1_000, "1 s"),
    (10_000, "10 s"),
    (60_000, "1 min"),
    (600_000, "10 min"),
    (3_600_000, "1 h"),
    (36_000_000, "10 h"),
    (360_000_000, "100 h"),
];

/// A scale of powers, from a tick to a tick.
struct Scale {
    ticks: &'static [(u32, &'static str)],
}

impl Scale {
    /// Returns the smallest that has room for all times between two.
    fn of(shortest: Duration, longest: Duration) -> Self {
        let is_above = |time: Duration| {
            let milliseconds = time.as_secs_f64() * 1e3;
            move |tick: &(u32, &str)| f64::from(tick.0) > milliseconds
        };
        let is_below = |tick: &(u32, &str)| !is_above(shortest)(tick);
        let first = TICKS.iter().rposition(is_below).unwrap_or_default();
        let end = TICKS.iter().position(is_above(longest));
        let first = first.min(TICKS.len() - 2);
        let last = end.unwrap_or(TICKS.len() - 1).max(first + 1);
        Self {
            ticks: &TICKS[first..=last],
        }
    }

    /// Returns where a time stands. What is beyond an end stands at it.
    fn y(&self, milliseconds: f64) -> f64 {
        let log = |tick: Option<&(u32, &str)>| tick.map_or(0.0, |it| f64::from(it.0).log10());
        let (first, last) = (log(self.ticks.first()), log(self.ticks.last()));
        let part = (milliseconds.max(f64::MIN_POSITIVE).log10() - first) / (last - first);
        HEIGHT * (1.0 - part.clamp(0.0, 1.0))
    }

    fn grid(&self) -> Vec<Grid> {
        let line = |(milliseconds, label): &(u32, &str)| {
            grid(self.y(f64::from(*milliseconds)), (*label).to_owned())
        };
        self.ticks.iter().map(line).collect()
    }
}

/// Joins what stands in columns side by side.
fn line(class: &'static str, heights: impl Iterator<Item = Option<f64>>) -> Line {
    let mut points = String::new();
    let mut dots = Vec::new();
    let mut of_stretch: Vec<(f64, f64)> = Vec::new();
    let middle = |column| x(column) + WIDTH / COLUMNS as f64 / 2.0;
    // The end of the chart ends a stretch too.
    for (column, height) in heights.chain([None]).enumerate() {
        if let Some(height) = height {
            of_stretch.push((middle(column), height));
            continue;
        }
        match of_stretch.as_slice() {
            [] => {}
            [(x, y)] => dots.push((place(*x), place(*y))),
            stretch => {
                for (index, (x, y)) in stretch.iter().enumerate() {
                    let command = if index == 0 { 'M' } else { 'L' };
                    let _ = write!(points, "{command}{x:.1} {y:.1}");
                }
            }
        }
        of_stretch.clear();
    }
    Line {
        class,
        points,
        dots,
    }
}

fn spreads(
    title: &'static str,
    verb: &str,
    columns: &[Column],
    of: fn(&Column) -> &Spread,
    times: &Times,
    marks: Vec<Mark>,
) -> Chart {
    const PARTS: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];
    let shortest = columns.iter().filter_map(|it| of(it).quantile(0.5)).min();
    let longest = columns.iter().filter_map(|it| of(it).quantile(0.99)).max();
    let scale = Scale::of(shortest.unwrap_or_default(), longest.unwrap_or_default());
    let line = |(part, class): (f64, &'static str)| {
        let height = |time: Duration| scale.y(time.as_secs_f64() * 1e3);
        let heights = columns.iter().map(|it| of(it).quantile(part).map(height));
        line(class, heights)
    };
    let mut all = Spread::default();
    columns.iter().for_each(|it| all.merge(of(it)));
    let heads = ["p50", "p95", "p99"];
    let shown = |spread: &Spread| {
        let cell = |part| spread.quantile(part).map_or_else(|| "–".to_owned(), span);
        vec![cell(0.5), cell(0.95), cell(0.99)]
    };
    let summary = match all.count() {
        0 => "nothing has started".to_owned(),
        _ => {
            let cells = shown(&all);
            format!(
                "half {verb} at most {}, 95 % at most {}, 99 % at most {}",
                cells[0], cells[1], cells[2]
            )
        }
    };
    Chart {
        title,
        summary,
        bars: Vec::new(),
        lines: PARTS.into_iter().map(line).collect(),
        grid: scale.grid(),
        marks,
        heads,
        classes: heads,
        ..table(columns, times, heads, |it| shown(of(it)))
    }
}

/// Returns a chart that has its table, and nothing that is drawn but what can be pointed at.
fn table(
    columns: &[Column],
    times: &Times,
    heads: [&'static str; 3],
    cells: impl Fn(&Column) -> Vec<String>,
) -> Chart {
    let row = |(index, column): (usize, &Column)| Row {
        at: times.name(index),
        cells: cells(column),
    };
    let rows: Vec<Row> = columns.iter().enumerate().map(row).collect();
    let spot = |(index, row): (usize, &Row)| {
        let said = row
            .cells
            .iter()
            .zip(heads)
            .map(|(cell, head)| format!("{cell} {head}"));
        Spot {
            x: place(x(index)),
            title: format!("{} UTC: {}", row.at, said.collect::<Vec<_>>().join(", ")),
        }
    };
    let is_empty = |column: &Column| column.completed + column.failed + column.died == 0;
    Chart {
        title: "",
        summary: String::new(),
        bars: Vec::new(),
        lines: Vec::new(),
        grid: Vec::new(),
        spots: rows.iter().enumerate().map(spot).collect(),
        marks: Vec::new(),
        heads,
        classes: heads,
        bar_width: place(WIDTH / COLUMNS as f64 - 1.0),
        rows: rows
            .into_iter()
            .zip(columns)
            .filter(|(_, column)| !is_empty(column))
            .map(|(row, _)| row)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (number, top) in [
            (1, 1),
            (9, 9),
            (11, 20),
            (20, 20),
            (101, 200),
            (1_900, 2_000),
        ] {
            assert_eq!(round_up(number), top, "{number}");
        }
    }

    #[test]
    fn a_scale_of_times_begins_and_ends_beside_what_it_shows() {
        let second = 1_000;
        for (shortest, longest, ends) in [
            (0, 0, ["1 ms", "10 ms"]),
            (4, 91, ["1 ms", "100 ms"]),
            (10, 10, ["10 ms", "100 ms"]),
            (48, 17 * 60 * second, ["10 ms", "1 h"]),
            (300_000 * second, 900_000 * second, ["10 h", "100 h"]),
            (900_000 * second, 900_000 * second, ["10 h", "100 h"]),
        ] {
            let [from, to] = [shortest, longest].map(Duration::from_millis);
            let scale = Scale::of(from, to);
            let labels = scale.grid().into_iter().map(|it| it.label);
            let labels: Vec<_> = labels.collect();
            assert_eq!(
                [labels[0].as_str(), labels[labels.len() - 1].as_str()],
                ends
            );
            for time in [from, to] {
                let y = scale.y(time.as_secs_f64() * 1e3);
                assert!((0.0..=HEIGHT).contains(&y), "{time:?} stands at {y}");
            }
        }
    }

    #[test]
    fn what_has_no_neighbour_is_a_dot() {
        let heights = [Some(1.0), None, Some(2.0), Some(3.0), None, Some(4.0)];
        let line = line("p50", heights.into_iter());
        let places = |it: &[(&str, &str)]| -> Vec<(String, String)> {
            it.iter()
                .map(|(x, y)| ((*x).to_owned(), (*y).to_owned()))
                .collect()
        };
        assert_eq!(line.points, "M15.0 2.0L21.0 3.0");
        assert_eq!(line.dots, places(&[("3.0", "1.0"), ("33.0", "4.0")]));
    }

    #[test]
    fn without_a_minute_there_is_an_empty_chart() {
        let [done, wait, run] = charts(&[], &[], DateTime::UNIX_EPOCH, Duration::from_secs(3_600));
        assert!(done.bars.is_empty() && done.rows.is_empty());
        assert!(
            wait.lines
                .iter()
                .chain(&run.lines)
                .all(|line| line.points.is_empty() && line.dots.is_empty())
        );
        assert_eq!(wait.summary, "In the last hour: nothing has started");
    }
}

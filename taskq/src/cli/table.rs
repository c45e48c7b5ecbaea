//! Lists: a table with aligned columns for people, JSON for scripts.

use std::env;
use std::io::{IsTerminal, stdout};

use clap::ArgMatches;
use serde::Serialize;

use super::text::{cut, printable};
use crate::error::BoxError;

/// As wide as a terminal is at the least.
const WIDTH: usize = 80;

/// A cell that is longer is cut, but for those of the last column, which get what is left.
const WIDEST: usize = 34;

const BOLD: &str = "\x1b[1m";
const FAINT: &str = "\x1b[2m";
pub(super) const PLAIN: &str = "\x1b[0m";

/// Rows of cells below a head. What only some rows have stands below them, indented.
#[derive(Debug, Default)]
pub(super) struct Table {
    head: Vec<&'static str>,
    right: Vec<usize>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    below: Vec<String>,
}

/// Prints a list: as JSON if that was said, and otherwise as a table, or what is said of an empty one.
pub(super) fn print<T: Serialize>(
    matches: &ArgMatches,
    items: &[T],
    empty: &str,
    table: impl Fn(&[T]) -> Table,
) -> Result<(), BoxError> {
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(items)?);
    } else if items.is_empty() {
        println!("{empty}");
    } else {
        print!("{}", table(items).text(has_colours()));
    }
    Ok(())
}

/// Tells whether standard output is a terminal on which nobody forbids colours.
pub(super) fn has_colours() -> bool {
    let forbids = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    stdout().is_terminal() && !forbids("NO_COLOR") && !is_dumb
}

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            ..Self::default()
        }
    }

    /// Has the cells of a column end below each other, as numbers do.
    pub(super) fn right(mut self, column: usize) -> Self {
        self.right.push(column);
        self
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.head.len());
        let cells = cells.iter().map(|cell| printable(cell)).collect();
        let below = Vec::new();
        self.rows.push(Row { cells, below });
    }

    /// Puts a line below the last row.
    pub(super) fn below(&mut self, text: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.below.push(cut(text, WIDTH - 2));
        }
    }

    pub(super) fn text(&self, colours: bool) -> String {
        let last = self.head.len() - 1;
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row.cells[column].as_str());
            let cells = cells.chain([self.head[column]]);
            let widest = cells.map(|cell| cell.chars().count()).max();
            let widest = widest.unwrap_or_default();
            if column == last {
                widest
            } else {
                widest.min(WIDEST)
            }
        };
        let mut widths: Vec<usize> = (0..last).map(width).collect();
        widths.push(width(last).max(self.head[last].len()));
        fit(&mut widths);
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells = cells.enumerate().map(|(column, cell)| {
                let width = widths[column];
                let cell = cut(cell, width);
                match self.right.contains(&column) {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:width$}"),
                }
            });
            let cells: Vec<String> = cells.collect();
            cells.join("  ").trim_end().to_owned()
        };
        let painted = |text: String, colour: &str| match colours {
            true => format!("{colour}{text}{PLAIN}\n"),
            false => format!("{text}\n"),
        };
        let mut text = painted(line(&mut self.head.iter().copied()), BOLD);
        for row in &self.rows {
            text.push_str(&line(&mut row.cells.iter().map(String::as_str)));
            text.push('\n');
            for below in &row.below {
                text.push_str(&painted(format!("  {below}"), FAINT));
            }
        }
        text
    }
}

/// Narrows the widest columns until a line fits, but none below a time, which nobody can read when it is cut.
fn fit(widths: &mut [usize]) {
    const TIME: usize = 20;
    let between = 2 * (widths.len() - 1);
    while widths.iter().sum::<usize>() + between > WIDTH {
        match widths.iter_mut().max_by_key(|width| **width) {
            Some(widest) if *widest > TIME => *widest -= 1,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_fit_eighty_columns() {
        let mut table = Table::new(&["QUEUE", "DUE", "WHY"]).right(1);
        let cells = |cells: [&str; 3]| cells.map(str::to_owned);
        table.row(cells(["mail", "7", "\x1b[31mdown"]));
        table.below("since yesterday");
        table.row(cells([&"q".repeat(50), "1200", &"x".repeat(80)]));
        let text = table.text(false);
        let expected = [
            format!("{:34}   DUE  WHY\n", "QUEUE"),
            format!("{:34}     7   [31mdown\n", "mail"),
            "  since yesterday\n".to_owned(),
            format!("{}…  1200  {}…\n", "q".repeat(33), "x".repeat(37)),
        ];
        assert_eq!(text, expected.concat());
        assert!(text.lines().all(|line| line.chars().count() <= 80));
        assert!(table.text(true).starts_with(BOLD));
    }
}

//! The tables of the four tabs.

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::look::Look;
use crate::cli::text::{cut, in_words, printable, up_to};
use crate::cli::top::ask::short;
use crate::cli::top::view::{Tab, View};
use crate::operate::doctor::Severity;

/// A task that waits for longer than that is bad, and one that waits for longer than that is odd.
const BAD_AGE: i64 = 15 * 60;
const ODD_AGE: i64 = 60;

/// From this width on there are columns that others do without.
const WIDE: u16 = 110;

/// A column: its head, its width (0: what is left), and whether its cells are numbers.
type Column = (&'static str, u16, bool);

/// Draws the table of a tab, with the row that is chosen.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &View, tab: Tab, look: Look) {
    let mut state = TableState::new().with_selected(view.row());
    render(frame, area, view, tab, look, &mut state);
}

/// Draws the table of another tab than the one that is chosen.
pub(super) fn draw_beside(frame: &mut Frame<'_>, area: Rect, view: &View, tab: Tab, look: Look) {
    render(frame, area, view, tab, look, &mut TableState::new());
}

fn render(
    frame: &mut Frame<'_>,
    area: Rect,
    view: &View,
    tab: Tab,
    look: Look,
    state: &mut TableState,
) {
    let (columns, rows) = match tab {
        Tab::Queues => queues(view, area.width, look),
        Tab::Running => running(view, area.width, look),
        Tab::Causes => causes(view, area.width, look),
        Tab::Workers => workers(view, area.width, look),
        Tab::Trouble => trouble(view, area.width, look),
    };
    if rows.is_empty() {
        let empty = match (view.seen.stats.is_some(), tab) {
            (false, _) => "",
            (_, _) if !view.filter.is_empty() => "nothing matches the filter",
            (_, Tab::Queues) => "nothing waits, runs or is dead",
            (_, Tab::Running) => "nothing runs",
            (_, Tab::Causes) => "no task is dead",
            (_, Tab::Workers) => "there is no worker",
            (_, Tab::Trouble) if !view.seen.is_examined => "looking for what is wrong",
            (_, Tab::Trouble) => "nothing is wrong that can be seen from here",
        };
        let empty = Paragraph::new(Line::styled(empty, look.faint()));
        frame.render_widget(empty, area);
        return;
    }
    let head = columns.iter().map(|(name, _, is_number)| match is_number {
        true => Cell::new(Text::from(*name).alignment(Alignment::Right)),
        false => Cell::new(*name),
    });
    let widths = columns.iter().map(|(_, width, _)| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(*width),
    });
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(look.head()))
        .column_spacing(1)
        .row_highlight_style(look.chosen());
    frame.render_stateful_widget(table, area, state);
}

/// Returns how wide a column is in a table of this width: it has what is left, if it says nothing.
fn width_of(columns: &[Column], column: usize, width: u16) -> usize {
    let said: u16 = columns.iter().map(|(_, width, _)| width).sum();
    let between = u16::try_from(columns.len() - 1).unwrap_or(u16::MAX);
    let left = width.saturating_sub(said).saturating_sub(between);
    match columns[column].1 {
        0 => usize::from(left),
        width => usize::from(width),
    }
}

fn text(text: impl Into<String>) -> Cell<'static> {
    Cell::new(printable(&text.into()))
}

fn number(text: impl Into<String>) -> Cell<'static> {
    Cell::new(Text::from(text.into()).alignment(Alignment::Right))
}

fn age(view: &View, at: DateTime<Utc>) -> (String, i64) {
    let seconds = (view.now() - at).num_seconds();
    (in_words(seconds), seconds)
}

fn queues(view: &View, width: u16, look: Look) -> (Vec<Column>, Vec<Row<'static>>) {
    let is_wide = width >= WIDE;
    let mut columns: Vec<Column> = vec![
        ("QUEUE", if is_wide { 24 } else { 11 }, false),
        ("TYPE", if is_wide { 36 } else { 0 }, false),
        ("OLDEST", if is_wide { 8 } else { 6 }, true),
        ("DUE", if is_wide { 8 } else { 6 }, true),
        ("LATER", 7, true),
        ("RUNS", if is_wide { 7 } else { 5 }, true),
        ("IN", if is_wide { 8 } else { 5 }, true),
        ("OUT", if is_wide { 8 } else { 5 }, true),
        ("DEAD", if is_wide { 8 } else { 6 }, true),
        ("", if is_wide { 0 } else { 9 }, false),
    ];
    if !is_wide {
        columns.remove(4);
    }
    let [queue, task_type] = [width_of(&columns, 0, width), width_of(&columns, 1, width)];
    let rows = view.kinds().into_iter().map(|(kind, rate)| {
        let oldest = kind.oldest_due_at.map(|at| age(view, at));
        let oldest = match oldest {
            Some((words, seconds)) if seconds >= BAD_AGE => number(words).style(look.bad()),
            Some((words, seconds)) if seconds >= ODD_AGE => number(words).style(look.odd()),
            Some((words, _)) => number(words),
            None => number("-"),
        };
        let counted = |number| up_to(number, kind.counted_to);
        let dead = match kind.dead {
            0 => number("-"),
            dead => number(counted(dead)).style(look.bad()),
        };
        let waits = kind.due + kind.scheduled > 0;
        let state = match () {
            () if kind.is_paused => text("paused").style(look.odd()),
            () if waits && !kind.is_served => text("no worker").style(look.bad()),
            () => text(""),
        };
        let come = rate.come.map_or_else(|| "-".to_owned(), shown);
        let mut cells = vec![
            text(cut(&kind.queue, queue)),
            text(cut(&kind.task_type, task_type)),
            oldest,
            number(counted(kind.due)),
            number(counted(kind.scheduled)),
            number(kind.running.to_string()),
            number(come),
            number(shown(rate.go)),
            dead,
            state,
        ];
        if !is_wide {
            cells.remove(4);
        }
        Row::new(cells)
    });
    let rows = rows.collect();
    (columns, rows)
}

fn shown(rate: f64) -> String {
    match rate {
        ..0.05 => "0".to_owned(),
        0.05..10.0 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

fn running(view: &View, width: u16, look: Look) -> (Vec<Column>, Vec<Row<'static>>) {
    let is_wide = width >= WIDE;
    let mut columns: Vec<Column> = vec![
        ("TASK", 10, true),
        ("AGE", 8, true),
        ("TRIES", 5, true),
        ("TYPE", 0, false),
        ("QUEUE", 20, false),
        ("WORKER", if is_wide { 34 } else { 20 }, false),
    ];
    if !is_wide {
        columns.remove(4);
    }
    let task_type = width_of(&columns, 3, width);
    let place = columns.len() - 1;
    let place = width_of(&columns, place, width);
    let rows = view.running().into_iter().map(|task| {
        let worker = match view.worker_of(task) {
            Some(worker) => format!("{}:{}", worker.host, worker.process_id),
            None => task.worker_id.clone().unwrap_or_default(),
        };
        let (words, seconds) = age(view, task.at);
        let age = match seconds >= BAD_AGE {
            true => number(words).style(look.odd()),
            false => number(words),
        };
        let mut cells = vec![
            number(task.task_id.to_string()),
            age,
            number((task.attempts + 1).to_string()),
            text(cut(&task.task_type, task_type)),
            text(cut(&task.queue, 20)),
            text(cut(&worker, place)),
        ];
        if !is_wide {
            cells.remove(4);
        }
        Row::new(cells)
    });
    let rows = rows.collect();
    (columns, rows)
}

fn causes(view: &View, width: u16, look: Look) -> (Vec<Column>, Vec<Row<'static>>) {
    let is_narrow = width < 70;
    let mut columns: Vec<Column> = vec![
        ("TASKS", 7, true),
        ("LAST", 8, true),
        ("STATE", 11, false),
        ("TYPE", if is_narrow { 16 } else { 22 }, false),
        ("ERROR", 0, false),
    ];
    if is_narrow {
        columns.remove(2);
    }
    let last = columns.len() - 1;
    let [task_type, room] = [
        width_of(&columns, last - 1, width),
        width_of(&columns, last, width),
    ];
    let rows = view.causes().into_iter().map(|cause| {
        let error = cause.error.as_deref().unwrap_or("no error");
        let mut cells = vec![
            number(format!(
                "{}{}",
                cause.total,
                if cause.and_more { "+" } else { "" }
            ))
            .style(look.bad()),
            number(age(view, cause.last_at).0),
            text(cause.state.name()),
            text(cut(&cause.task_type, task_type)),
            text(cut(error, room)),
        ];
        if is_narrow {
            cells.remove(2);
        }
        Row::new(cells)
    });
    (columns, rows.collect())
}

fn workers(view: &View, width: u16, look: Look) -> (Vec<Column>, Vec<Row<'static>>) {
    let is_wide = width >= WIDE;
    let mut columns: Vec<Column> = vec![
        ("WORKER", 8, false),
        ("STATE", 9, false),
        ("RUNS", 9, true),
        ("SEEN", 7, true),
        ("PROCESS", 8, true),
        ("RELEASE", 10, false),
        ("HOST", 0, false),
        ("QUEUES", 18, false),
    ];
    if !is_wide {
        columns.remove(4);
    }
    let host = width_of(&columns, columns.len() - 2, width);
    let rows = view.workers().into_iter().map(|worker| {
        let state = match (worker.is_alive, worker.stop_asked_at) {
            (true, None) => text("alive").style(look.good()),
            (true, Some(_)) => text("stopping").style(look.odd()),
            (false, _) => text("vanished").style(look.bad()),
        };
        let slots = worker.slots.map(|slots| format!("/{slots}"));
        let mut cells = vec![
            text(short(worker.worker_id)),
            state,
            number(format!("{}{}", worker.running, slots.unwrap_or_default())),
            number(age(view, worker.seen_at).0),
            number(worker.process_id.to_string()),
            text(worker.release.clone().unwrap_or_else(|| "-".to_owned())),
            text(cut(&worker.host, host)),
            text(cut(&worker.queues.join(", "), 18)),
        ];
        if !is_wide {
            cells.remove(4);
        }
        Row::new(cells)
    });
    (columns, rows.collect())
}

fn trouble(view: &View, width: u16, look: Look) -> (Vec<Column>, Vec<Row<'static>>) {
    let columns: Vec<Column> = vec![
        ("", 7, false),
        ("TROUBLE", 16, false),
        ("WHAT IS WRONG", 0, false),
    ];
    let room = width_of(&columns, 2, width);
    let rows = view.trouble().into_iter().map(|it| {
        let (word, style) = match (&it.acknowledged, it.severity) {
            (Some(_), _) => ("known", look.faint()),
            (None, Severity::Error) => ("error", look.bad()),
            (None, Severity::Warning) => ("warning", look.odd()),
        };
        Row::new(vec![
            text(word).style(style),
            text(cut(&it.problem, 16)),
            text(cut(&it.said, room)),
        ])
    });
    let rows = rows.collect();
    (columns, rows)
}

//! Draws what the view holds, on any size of terminal.

mod dialog;
mod folded;
mod look;
mod tables;

use chrono::SecondsFormat;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};

use self::look::Look;
use super::view::{Mode, TABS, Tab, View};
use crate::cli::text::{cut, printable};
use crate::operate::doctor::Severity;
use crate::operate::remedy::Remedy;

/// From this height on there is room for what runs and for causes below the queues.
const TALL: u16 = 32;

/// From this height on there is room for all that is said of a trouble.
const MIDDLING: u16 = 16;

/// How high that is, with the line above it.
const DETAIL: u16 = 8;

/// How high these are at the least, with their titles.
const PANELS: u16 = 16;

pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let look = Look {
        has_colours: view.has_colours,
    };
    let lines = [
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
        Constraint::Length(1),
    ];
    let [title, doctor, tabs, body, said, keys] = Layout::vertical(lines).areas(frame.area());
    draw_title(frame, title, view, look);
    draw_doctor(frame, doctor, view, look);
    draw_tabs(frame, tabs, view, look);
    draw_body(frame, body, view, look);
    draw_said(frame, said, view, look);
    draw_keys(frame, keys, view, look);
    dialog::draw(frame, body, view, look);
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let time = match view.seen.at() {
        Some(at) if area.width < 100 => at.format("%H:%M:%SZ").to_string(),
        Some(at) => at.to_rfc3339_opts(SecondsFormat::Secs, true),
        None => "looking for the first time".to_owned(),
    };
    let right = match view.is_read_only {
        true => format!("{time}  read-only "),
        false => format!("{time} "),
    };
    let width = usize::from(area.width).saturating_sub(right.chars().count() + 9);
    let left = Line::from(vec![
        Span::styled(" taskq ", look.head().add_modifier(Modifier::REVERSED)),
        Span::raw(" "),
        Span::raw(cut(&view.target, width)),
    ]);
    frame.render_widget(left, area);
    frame.render_widget(Line::styled(right, look.faint()).right_aligned(), area);
}

/// Says in one line what is wrong, the worst first.
fn draw_doctor(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let width = usize::from(area.width).saturating_sub(2);
    let line = if let Some(why) = &view.away {
        let text = format!("the database is away, and this is of the last look: {why}");
        Line::styled(cut(&text, width), look.bad())
    } else if !view.seen.is_examined {
        Line::styled("looking for what is wrong", look.faint())
    } else if let Some(worst) = view.seen.unknown().next() {
        let count = |severity| {
            let those = view.seen.unknown();
            those.filter(|it| it.severity == severity).count()
        };
        let style = match worst.severity {
            Severity::Error => look.bad(),
            Severity::Warning => look.odd(),
        };
        let counted = format!(
            "{}, {}: ",
            some(count(Severity::Error), "error"),
            some(count(Severity::Warning), "warning")
        );
        let room = width.saturating_sub(counted.chars().count() + 9);
        Line::from(vec![
            Span::styled(counted, style),
            Span::raw(cut(&worst.said, room)),
            Span::styled("  w", look.key()),
            Span::styled(" all", look.faint()),
        ])
    } else if view.seen.ailments.is_empty() {
        Line::styled("nothing is wrong that can be seen from here", look.good())
    } else {
        Line::styled(
            "nothing is wrong but what somebody has acknowledged",
            look.good(),
        )
    };
    frame.render_widget(Paragraph::new(line), indented(area));
}

fn some(number: usize, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        _ => format!("{number} {of}s"),
    }
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let mut spans = Vec::new();
    for tab in TABS {
        let (name, number) = match tab {
            Tab::Queues => ("Queues", view.kinds().len()),
            Tab::Running => ("Running", view.running().len()),
            Tab::Causes => ("Causes", view.causes().len()),
            Tab::Workers => ("Workers", view.workers().len()),
            Tab::Trouble => {
                let counts = view.trouble().into_iter();
                let counts = counts.filter(|it| it.acknowledged.is_none());
                ("Trouble", counts.count())
            }
        };
        let style = match tab == view.tab {
            true => look.head().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        spans.push(Span::styled(format!(" {name} {number} "), style));
        spans.push(Span::raw(" "));
    }
    if matches!(view.mode, Mode::Filter) {
        spans.push(Span::styled(" /", look.key()));
        spans.push(Span::raw(printable(&view.filter)));
        spans.push(Span::styled(
            " ",
            Style::new().add_modifier(Modifier::REVERSED),
        ));
    } else if !view.filter.is_empty() {
        spans.push(Span::styled(
            format!(" /{}", printable(&view.filter)),
            look.odd(),
        ));
        spans.push(Span::styled("  esc shows all", look.faint()));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), indented(area));
}

fn draw_body(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let area = indented(area);
    if view.tab == Tab::Trouble && area.height >= MIDDLING {
        draw_trouble(frame, area, view, look);
        return;
    }
    if view.tab != Tab::Queues || area.height < TALL - 5 {
        tables::draw(frame, area, view, view.tab, look);
        return;
    }
    // The queues have what they need, and half of the screen at the most.
    let need = u16::try_from(view.kinds().len() + 2).unwrap_or(u16::MAX);
    let queues = need.clamp(6, area.height.saturating_sub(PANELS));
    let parts = [Constraint::Length(queues), Constraint::Min(PANELS)];
    let [queues, below] = Layout::vertical(parts).areas(area);
    tables::draw(frame, queues, view, Tab::Queues, look);
    let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
    let [left, right] = Layout::horizontal(halves).spacing(2).areas(below);
    for (area, title, tab) in [
        (left, " running, the oldest first ", Tab::Running),
        (right, " what tasks died of last ", Tab::Causes),
    ] {
        let block = Block::new()
            .borders(Borders::TOP)
            .border_style(look.faint())
            .title(Span::styled(title, look.head()));
        let inner = block.inner(area);
        frame.render_widget(block, area);
        tables::draw_beside(frame, inner, view, tab, look);
    }
}

/// Draws what is wrong, and below it all that is said of the chosen line, with what `m` does.
fn draw_trouble(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let parts = [Constraint::Min(6), Constraint::Length(DETAIL)];
    let [list, below] = Layout::vertical(parts).areas(area);
    tables::draw(frame, list, view, Tab::Trouble, look);
    let trouble = view.trouble();
    let Some(it) = trouble.get(view.row()) else {
        return;
    };
    let mut lines = vec![
        Line::raw(printable(&it.said)),
        Line::styled(printable(&it.advice), look.faint()),
    ];
    if let Some(known) = &it.acknowledged {
        lines.insert(1, Line::raw(printable(&known.to_string())));
    }
    if let Some(remedy) = Remedy::of(it).filter(|_| !view.is_read_only) {
        lines.push(Line::from(vec![
            Span::styled("m ", look.key()),
            Span::raw(printable(&remedy.label())),
            Span::styled(format!(": {}", remedy.consequence()), look.faint()),
        ]));
    } else if let Some(statement) = &it.statement {
        lines.push(Line::raw(printable(statement)));
    }
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(look.faint());
    let text = Paragraph::new(lines).block(block).wrap(Wrap { trim: true });
    frame.render_widget(text, below);
}

fn draw_said(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let width = usize::from(area.width).saturating_sub(2);
    let line = match &view.said {
        Some(Ok(said)) => Line::styled(cut(said, width), look.good()),
        Some(Err(why)) => Line::styled(cut(why, width), look.bad()),
        None => Line::default(),
    };
    frame.render_widget(Paragraph::new(line), indented(area));
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let mut spans = Vec::new();
    // Where there is little room, the tabs themselves say that there are others.
    let has_room = area.width >= 90;
    for (key, does) in keys_of(view) {
        if *key == "tab" && !has_room {
            continue;
        }
        spans.push(Span::styled(*key, look.key()));
        spans.push(Span::styled(format!(" {does}  "), look.faint()));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), indented(area));
}

fn keys_of(view: &View) -> &'static [(&'static str, &'static str)] {
    match (&view.mode, view.tab, view.is_read_only) {
        (Mode::Filter, ..) => &[("enter", "keep"), ("esc", "forget")],
        (Mode::Closer { .. }, ..) => &[("up down", "scroll"), ("esc", "back")],
        (Mode::Help, ..) => &[("any key", "back")],
        (Mode::Ask(_), ..) => &[],
        (_, _, true) => &[
            ("tab", "next"),
            ("enter", "closer"),
            ("/", "filter"),
            ("w", "what is wrong"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (_, Tab::Queues, _) => &[
            ("tab", "next"),
            ("enter", "closer"),
            ("p", "pause"),
            ("r", "retry"),
            ("c", "cancel"),
            ("d", "discard"),
            ("/", "filter"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (_, Tab::Running, _) => &[
            ("tab", "next"),
            ("enter", "closer"),
            ("c", "cancel"),
            ("/", "filter"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (_, Tab::Causes, _) => &[
            ("tab", "next"),
            ("enter", "closer"),
            ("r", "retry all"),
            ("d", "discard all"),
            ("/", "filter"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (_, Tab::Trouble, _) => &[
            ("tab", "next"),
            ("enter", "closer"),
            ("m", "mend"),
            ("a", "acknowledge"),
            ("d", "discard"),
            ("/", "filter"),
            ("?", "help"),
            ("q", "quit"),
        ],
        (_, Tab::Workers, _) => &[
            ("tab", "next"),
            ("enter", "closer"),
            ("s", "stop"),
            ("/", "filter"),
            ("?", "help"),
            ("q", "quit"),
        ],
    }
}

fn indented(area: Rect) -> Rect {
    Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    }
}

//! What stands above the table: help, a text that was asked for, a question.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Paragraph, Wrap};

use super::folded::folded;
use super::look::Look;
use crate::cli::text::printable;
use crate::cli::top::ask::Ask;
use crate::cli::top::view::{Mode, View};
use crate::operate::moment::MOMENTS;

const HELP: &[(&str, &str)] = &[
    ("up down", "choose a row; page up and down go ten rows"),
    (
        "tab, 1 to 5",
        "queues, running tasks, causes, workers, trouble",
    ),
    ("enter", "look closer at what is chosen"),
    (
        "w",
        "trouble: what is wrong, in plain words, and what mends it",
    ),
    ("/", "show only what has a text in it; esc shows all again"),
    ("q", "quit"),
];

const CHANGES: &[(&str, &str)] = &[
    (
        "p",
        "pause or resume the queue or the task type, with a reason",
    ),
    ("r", "retry all dead tasks of the row"),
    (
        "o",
        "retry one of the cause first, to see what becomes of it",
    ),
    ("d", "delete all dead tasks of the row for good"),
    ("c", "cancel the running task, or all that wait of the row"),
    ("s", "ask the worker to stop"),
    ("m", "mend the trouble: it says how, and asks first"),
    (
        "a",
        "acknowledge the trouble, for good or until a time, or have it count again",
    ),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    match &view.mode {
        Mode::Browse | Mode::Filter => {}
        Mode::Help => help(frame, area, view, look),
        Mode::Closer {
            title,
            text,
            scroll,
        } => closer(frame, area, title, text, *scroll, look),
        Mode::Ask(ask) => question(frame, area, ask, look),
    }
}

/// Clears so much room in the middle, draws a frame with a title around it, and returns what is within.
fn room(frame: &mut Frame<'_>, area: Rect, size: (u16, u16), title: &str, look: Look) -> Rect {
    let (width, height) = (size.0.min(area.width), size.1.min(area.height));
    let area = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 3,
        width,
        height,
    };
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(look.faint())
        .padding(Padding::horizontal(1))
        .title(Span::styled(format!(" {} ", printable(title)), look.head()));
    let inner = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    inner
}

fn help(frame: &mut Frame<'_>, area: Rect, view: &View, look: Look) {
    let line = |(key, does): &(&'static str, &'static str)| {
        Line::from(vec![
            Span::styled(format!("{key:13}"), look.key()),
            Span::raw(*does),
        ])
    };
    let mut lines: Vec<Line<'_>> = HELP.iter().map(line).collect();
    lines.push(Line::default());
    if view.is_read_only {
        lines.push(Line::styled(
            "nothing may change here: --read-only",
            look.faint(),
        ));
    } else {
        lines.extend(CHANGES.iter().map(line));
        lines.push(Line::default());
        lines.push(Line::styled(
            "each asks before it changes something",
            look.faint(),
        ));
    }
    lines.push(Line::styled(
        "IN and OUT are tasks a minute; a + means that there are more",
        look.faint(),
    ));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let inner = room(frame, area, (76, height + 2), "Keys", look);
    frame.render_widget(Paragraph::new(Text::from(lines)), inner);
}

fn closer(frame: &mut Frame<'_>, area: Rect, title: &str, text: &str, scroll: u16, look: Look) {
    let width = area.width.saturating_sub(4).min(110);
    let room_for = usize::from(width.saturating_sub(4)).max(1);
    let lines: Vec<Line<'_>> = text
        .lines()
        .flat_map(|line| folded(&printable(line), room_for))
        .map(Line::raw)
        .collect();
    let high = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let inner = room(frame, area, (width, high.saturating_add(2)), title, look);
    let last = high.saturating_sub(inner.height);
    let text = Paragraph::new(Text::from(lines));
    frame.render_widget(text.scroll((scroll.min(last), 0)), inner);
}

fn question(frame: &mut Frame<'_>, area: Rect, ask: &Ask, look: Look) {
    let key = |key: &'static str, does: &'static str| {
        [
            Span::styled(key, look.key()),
            Span::styled(format!(" {does}   "), look.faint()),
        ]
    };
    let mut lines = vec![Line::raw(ask.question())];
    if let Some(about) = ask.about() {
        lines.push(Line::styled(printable(about), look.faint()));
    }
    lines.push(Line::default());
    if ask.takes_reason() {
        let field = |name: &'static str, text: &str, is_here: bool| {
            let mut spans = vec![Span::styled(name, look.faint()), Span::raw(printable(text))];
            if is_here {
                spans.push(Span::styled(
                    " ",
                    Style::new().add_modifier(Modifier::REVERSED),
                ));
            }
            spans
        };
        lines.push(Line::from(field("because ", &ask.reason, !ask.is_at_until)));
        if ask.takes_until() {
            let mut spans = field("until   ", &ask.until, ask.is_at_until);
            if ask.until.is_empty() {
                spans.push(Span::styled(" for good; or 30m, 2h, 7d", look.faint()));
            }
            lines.push(Line::from(spans));
            if ask.is_no_time {
                lines.push(Line::raw(format!("that is no time: {MOMENTS}")));
            }
        }
        lines.push(Line::default());
    }
    let mut keys = Vec::new();
    match ask.takes_reason() {
        true => keys.extend(key("enter", "do it")),
        false => keys.extend(key("y", "do it")),
    }
    if ask.takes_other() {
        keys.extend(key("tab", "queue or task type"));
    }
    if ask.takes_until() {
        keys.extend(key("tab", "because or until"));
    }
    keys.extend(key("esc", "leave it"));
    lines.push(Line::from(keys));
    let widest = lines.iter().map(Line::width).max().unwrap_or_default();
    let width = u16::try_from(widest).unwrap_or(u16::MAX).clamp(48, 76) + 4;
    // A line that is longer is wrapped, by words: so it may need one line more than its width says.
    let room_for = usize::from(width.min(area.width).saturating_sub(4)).max(1);
    let high = |line: &Line<'_>| match line.width() {
        width if width <= room_for => 1,
        width => width.div_ceil(room_for) + 1,
    };
    let high: usize = lines.iter().map(high).sum();
    let height = u16::try_from(high).unwrap_or(u16::MAX).saturating_add(2);
    let inner = room(frame, area, (width, height), "Is that meant?", look);
    let text = Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false });
    frame.render_widget(text, inner);
}

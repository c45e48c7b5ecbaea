//! What the screen shows, and what a key does: without a terminal and without a database.

use chrono::{DateTime, Utc};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::ask::{Ask, Effect};
use super::rates::{Rate, Rates};
use super::seen::{News, Seen};
use crate::cli::text::printable;
use crate::operate::cause::Cause;
use crate::operate::doctor::Ailment;
use crate::operate::list::FoundTask;
use crate::operate::stats::KindStats;
use crate::operate::workers::WorkerStatus;

/// What the table in the middle lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Queues,
    Running,
    Causes,
    Workers,
    Trouble,
}

pub(super) const TABS: [Tab; 5] = [
    Tab::Queues,
    Tab::Running,
    Tab::Causes,
    Tab::Workers,
    Tab::Trouble,
];

/// What the keys mean.
#[derive(Debug, Default)]
pub(super) enum Mode {
    #[default]
    Browse,
    /// The filter is being written.
    Filter,
    Help,
    /// A text that was asked for.
    Closer {
        title: String,
        text: String,
        scroll: u16,
    },
    Ask(Ask),
}

/// All that is drawn.
#[derive(Debug)]
pub(super) struct View {
    /// Whose tasks they are.
    pub(super) target: String,
    pub(super) is_read_only: bool,
    pub(super) has_colours: bool,
    pub(super) seen: Seen,
    rates: Rates,
    pub(super) tab: Tab,
    /// Which row of each tab is chosen: it stays chosen when others come and go.
    chosen: [Option<String>; 5],
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// What was done last, or could not be.
    pub(super) said: Option<Result<String, String>>,
    /// Why the database does not answer.
    pub(super) away: Option<String>,
}

impl View {
    pub(super) fn new(target: String, is_read_only: bool, has_colours: bool) -> Self {
        Self {
            target,
            is_read_only,
            has_colours,
            seen: Seen::default(),
            rates: Rates::default(),
            tab: Tab::Queues,
            chosen: [const { None }; 5],
            filter: String::new(),
            mode: Mode::Browse,
            said: None,
            away: None,
        }
    }

    pub(super) fn learn(&mut self, news: News) {
        match &news {
            News::Away(why) => self.away = Some(why.clone()),
            News::Often(stats, _) => {
                self.rates.record(stats);
                self.away = None;
            }
            _ => self.away = None,
        }
        self.seen.learn(news);
    }

    /// Returns the time of the database.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.seen.at().unwrap_or_default()
    }

    /// Returns the kinds that match, those first whose oldest due task has waited longest.
    pub(super) fn kinds(&self) -> Vec<(&KindStats, Rate)> {
        let kinds = self.seen.stats.iter().flat_map(|stats| &stats.kinds);
        let kinds = kinds.filter(|kind| self.matches(&[&kind.queue, &kind.task_type]));
        let mut kinds: Vec<&KindStats> = kinds.collect();
        kinds.sort_by_key(|kind| (kind.oldest_due_at.is_none(), kind.oldest_due_at));
        let rate = |kind| self.rates.of(kind, &self.seen.minutes, self.now());
        kinds.into_iter().map(|kind| (kind, rate(kind))).collect()
    }

    /// Returns the running tasks that match, the oldest first.
    pub(super) fn running(&self) -> Vec<&FoundTask> {
        let running = self.seen.running.iter();
        running
            .filter(|task| self.matches(&[&task.queue, &task.task_type, &task.task_id.to_string()]))
            .collect()
    }

    /// Returns the causes that match, the last to have struck first.
    pub(super) fn causes(&self) -> Vec<&Cause> {
        let causes = self.seen.causes.iter().filter(|cause| {
            let error = cause.error.as_deref().unwrap_or_default();
            self.matches(&[&cause.task_type, error, &cause.cause])
        });
        let mut causes: Vec<&Cause> = causes.collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.last_at));
        causes
    }

    pub(super) fn workers(&self) -> Vec<&WorkerStatus> {
        let workers = self.seen.workers.iter();
        workers
            .filter(|worker| self.matches(&[&worker.host, &worker.worker_id.to_string()]))
            .collect()
    }

    /// Returns what is wrong, errors first.
    pub(super) fn trouble(&self) -> Vec<&Ailment> {
        let ailments = self.seen.ailments.iter();
        ailments
            .filter(|it| self.matches(&[&it.problem, &it.subject, &it.said]))
            .collect()
    }

    /// Returns the worker that runs a task.
    pub(super) fn worker_of(&self, task: &FoundTask) -> Option<&WorkerStatus> {
        let id = task.worker_id.as_deref()?;
        let workers = &mut self.seen.workers.iter();
        workers.find(|worker| worker.worker_id.to_string() == id)
    }

    fn matches(&self, texts: &[&str]) -> bool {
        let filter = self.filter.to_lowercase();
        let has = |text: &&str| text.to_lowercase().contains(&filter);
        filter.is_empty() || texts.iter().any(has)
    }

    /// Returns what names each row of the tab.
    fn names(&self) -> Vec<String> {
        match self.tab {
            Tab::Queues => (self.kinds().iter())
                .map(|(kind, _)| format!("{}\0{}", kind.queue, kind.task_type))
                .collect(),
            Tab::Running => (self.running().iter())
                .map(|task| task.task_id.to_string())
                .collect(),
            Tab::Causes => (self.causes().iter())
                .map(|cause| format!("{}\0{}", cause.cause, cause.state))
                .collect(),
            Tab::Workers => (self.workers().iter())
                .map(|worker| worker.worker_id.to_string())
                .collect(),
            Tab::Trouble => (self.trouble().iter())
                .map(|it| {
                    let mends = it.command.as_deref().unwrap_or_default();
                    format!("{}\0{}\0{mends}", it.problem, it.subject)
                })
                .collect(),
        }
    }

    /// Returns which row of the tab is chosen: the first, where the chosen one has gone.
    pub(super) fn row(&self) -> usize {
        let chosen = self.chosen[self.tab as usize].as_ref();
        let names = self.names();
        let row = chosen.and_then(|chosen| names.iter().position(|name| name == chosen));
        row.unwrap_or(0)
    }

    fn choose(&mut self, row: usize) {
        let names = self.names();
        let last = names.len().saturating_sub(1);
        self.chosen[self.tab as usize] = names.into_iter().nth(row.min(last));
    }

    /// Does what a key means now. What needs the database is returned.
    pub(super) fn press(&mut self, key: KeyEvent) -> Effect {
        if key.kind == KeyEventKind::Release {
            return Effect::Nothing;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return Effect::Quit;
        }
        match &mut self.mode {
            Mode::Browse => self.browse(key.code),
            Mode::Filter => {
                match key.code {
                    KeyCode::Char(c) if !is_control => self.filter.push(c),
                    KeyCode::Backspace => _ = self.filter.pop(),
                    KeyCode::Esc => {
                        self.filter.clear();
                        self.mode = Mode::Browse;
                    }
                    KeyCode::Enter => self.mode = Mode::Browse,
                    _ => {}
                }
                Effect::Nothing
            }
            Mode::Help => {
                self.mode = Mode::Browse;
                Effect::Nothing
            }
            Mode::Closer { scroll, .. } => {
                match key.code {
                    KeyCode::Down | KeyCode::Char('j') => *scroll = scroll.saturating_add(1),
                    KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
                    KeyCode::PageDown | KeyCode::Char(' ') => *scroll = scroll.saturating_add(10),
                    KeyCode::PageUp => *scroll = scroll.saturating_sub(10),
                    _ => self.mode = Mode::Browse,
                }
                Effect::Nothing
            }
            Mode::Ask(ask) => {
                let (effect, is_over) = ask.press(key.code);
                if is_over {
                    self.mode = Mode::Browse;
                }
                effect
            }
        }
    }

    fn browse(&mut self, key: KeyCode) -> Effect {
        let row = self.row();
        self.said = None;
        match key {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Esc if self.filter.is_empty() => return Effect::Quit,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Down | KeyCode::Char('j') => self.choose(row + 1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(row.saturating_sub(1)),
            KeyCode::PageDown => self.choose(row + 10),
            KeyCode::PageUp => self.choose(row.saturating_sub(10)),
            KeyCode::Home => self.choose(0),
            KeyCode::End => self.choose(usize::MAX),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(TABS.len() - 1),
            KeyCode::Char(digit @ '1'..='5') => self.tab = TABS[digit as usize - '1' as usize],
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('w') => self.tab = Tab::Trouble,
            KeyCode::Enter => return self.look_closer(),
            KeyCode::Char(change @ ('p' | 'r' | 'c' | 'd' | 's' | 'm' | 'a' | 'o')) => {
                if self.is_read_only {
                    self.said = Some(Err("nothing may change here: --read-only".to_owned()));
                    return Effect::Nothing;
                }
                return self.change(change);
            }
            _ => {}
        }
        Effect::Nothing
    }

    fn turn(&mut self, by: usize) {
        self.tab = TABS[(self.tab as usize + by) % TABS.len()];
    }

    pub(super) fn show(&mut self, title: impl Into<String>, text: String) {
        let title = title.into();
        self.mode = Mode::Closer {
            title,
            text,
            scroll: 0,
        };
    }

    fn look_closer(&mut self) -> Effect {
        let row = self.row();
        match self.tab {
            Tab::Queues => {
                let found = self.kinds().get(row).map(|(kind, rate)| {
                    let title = format!("{} in queue {}", kind.task_type, kind.queue);
                    (title, super::closer::of_kind(kind, *rate, &self.seen))
                });
                if let Some((title, text)) = found {
                    self.show(printable(&title), text);
                }
            }
            Tab::Running => {
                if let Some(task) = self.running().get(row) {
                    return Effect::Show(task.task_id);
                }
            }
            Tab::Causes => {
                if let Some(cause) = self.causes().get(row) {
                    return Effect::Show(cause.last_task_id);
                }
            }
            Tab::Workers => {
                let found = self.workers().get(row).map(|worker| {
                    let title = format!("worker {}", worker.worker_id);
                    (title, super::closer::of_worker(worker))
                });
                if let Some((title, text)) = found {
                    self.show(title, text);
                }
            }
            Tab::Trouble => {
                let found = self.trouble().get(row).map(|it| {
                    let text = crate::cli::doctor::text(it, WIDTH, false);
                    (format!("{}: {}", it.problem, it.subject), text)
                });
                if let Some((title, text)) = found {
                    self.show(title, text);
                }
            }
        }
        Effect::Nothing
    }
}

/// As wide as a text is on the smallest terminal that is usual.
const WIDTH: usize = 72;

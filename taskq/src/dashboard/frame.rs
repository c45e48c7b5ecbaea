//! What stands around each page: where one is, who one is, and what has just been done.

use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};

use super::access::May;
use super::assets::{ICON, SCRIPT, STYLE};
use super::board::{Answer, Asked, Theme};
use super::failure::Failure;
use super::said::{self, Said};

/// The pages that each page links to, with the key that leads there after `g`.
const PAGES: &[(&str, &str, &str)] = &[
    ("overview", "Overview", "o"),
    ("tasks", "Tasks", "t"),
    ("causes", "Causes", "c"),
    ("queues", "Queues", "q"),
    ("limits", "Limits", "l"),
    #[cfg(feature = "cron")]
    ("schedules", "Schedules", "s"),
    ("workers", "Workers", "w"),
    ("bulks", "Bulk", "b"),
    ("enqueue", "Enqueue", "e"),
    ("audit", "Audit", "a"),
];

/// A link in the navigation.
pub(super) struct Place {
    pub(super) page: &'static str,
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) is_here: bool,
}

/// What stands around a page.
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) places: Vec<Place>,
    pub(super) who: String,
    pub(super) may_act: bool,
    pub(super) may_bulk: bool,
    /// What has just been done.
    pub(super) said: Option<Said>,
    pub(super) theme: &'static str,
    /// This page, relative.
    pub(super) here: String,
    /// The stream of what changes on this page, relative; empty where nothing does.
    pub(super) events: String,
    /// Whether the page is to be loaded again where no script does.
    pub(super) is_moving: bool,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
    /// When it was rendered, by the clock of Postgres; empty where Postgres was not asked.
    pub(super) at: String,
}

impl Frame {
    pub(super) fn new(asked: &Asked, title: impl Into<String>, now: Option<DateTime<Utc>>) -> Self {
        let at = now.map(|now| now.to_rfc3339_opts(SecondsFormat::Secs, true));
        let places = PAGES.iter().map(|(page, name, key)| Place {
            page,
            name,
            key,
            is_here: parent(asked.page) == *page,
        });
        let theme = match asked.theme {
            None => "",
            Some(Theme::Light) => "light",
            Some(Theme::Dark) => "dark",
        };
        let right = asked.visitor.right();
        Self {
            title: title.into(),
            places: places.collect(),
            who: match asked.visitor.name() {
                Some(name) => name.to_owned(),
                None => "this machine".to_owned(),
            },
            may_act: right >= May::Act,
            may_bulk: right >= May::Bulk,
            said: said::done(&asked.said),
            theme,
            here: here(asked),
            events: String::new(),
            is_moving: false,
            style: STYLE.name(),
            script: SCRIPT.name(),
            icon: ICON.name(),
            at: at.unwrap_or_default(),
        }
    }

    /// Has the page be told what changes on it.
    pub(super) fn live(mut self, asked: &Asked) -> Self {
        self.events = match asked.query.is_empty() {
            true => format!("events?page={}", asked.page),
            false => format!("events?page={}&{}", asked.page, asked.query),
        };
        self
    }
}

/// Returns the page that the navigation has for another.
fn parent(page: &str) -> &str {
    match page {
        "task" => "tasks",
        "bulk" => "bulks",
        "schedule" => "schedules",
        "type" | "queue" => "queues",
        page => page,
    }
}

/// Returns where a visitor is; after a deed that was refused, which is no page, that is the overview.
fn here(asked: &Asked) -> String {
    let is_page = PAGES.iter().any(|(page, ..)| *page == parent(asked.page));
    if !is_page {
        return "overview".to_owned();
    }
    match asked.query.is_empty() {
        true => asked.page.to_owned(),
        false => format!("{}?{}", asked.page, asked.query),
    }
}

/// Renders a page.
pub(super) fn page(template: &impl Template) -> Result<Answer, Failure> {
    let html = template.render();
    let html =
        html.map_err(|error| Failure::Database(format!("the page cannot be rendered: {error}")))?;
    Ok(Answer::Html(html))
}

/// A page that says why another one is not there.
#[derive(Template)]
#[template(path = "dashboard/failure.html")]
pub(super) struct FailurePage {
    pub(super) frame: Frame,
    pub(super) title: &'static str,
    pub(super) text: String,
}

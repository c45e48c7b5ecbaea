//! Of what dead tasks have died.

use askama::Template;

use super::tasks::State;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::text::{When, line, link, number, when};
use crate::operate::filter::Filter;

/// How many causes a page has.
const MOST: u16 = 100;

struct CauseLine {
    filter: String,
    link: String,
    last_link: String,
    last_id: i64,
    total: String,
    task_type: String,
    state: State,
    first: When,
    last: When,
    error: String,
}

#[derive(Template)]
#[template(path = "dashboard/causes.html")]
struct Causes {
    frame: Frame,
    filter: String,
    problem: Option<String>,
    causes: Vec<CauseLine>,
    /// Of how many tasks the numbers are, if it read no more.
    read: Option<String>,
    has_stopped: bool,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let now = reader.now().await?;
    let read = match asked.said.filter("q") {
        Ok(filter) => reader.causes(&filter, MOST).await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    let (found, problem) = match read {
        Ok(found) => (Some(found), None),
        Err(Failure::Refused(problem)) => (None, Some(problem)),
        Err(failure) => return Err(failure),
    };
    let lines = found.iter().flat_map(|found| &found.causes).map(|cause| {
        let own = format!("cause:{}", cause.cause);
        // What else the filter says holds too.
        let rest = asked.said.text("q").unwrap_or_default();
        let both = format!("{rest} {own}");
        let filter = both
            .parse::<Filter>()
            .map_or(own, |filter| filter.to_string());
        CauseLine {
            link: link("tasks", &[("q", &filter)]),
            last_link: link("task", &[("id", &cause.last_task_id.to_string())]),
            last_id: cause.last_task_id,
            filter,
            total: match cause.and_more {
                true => format!("{}+", number(cause.total)),
                false => number(cause.total),
            },
            task_type: cause.task_type.clone(),
            state: State::of(cause.state),
            first: when(cause.first_at, now),
            last: when(cause.last_at, now),
            error: line(cause.error.as_deref().unwrap_or("no error"), 240),
        }
    });
    page(&Causes {
        causes: lines.collect(),
        filter: asked.said.text("q").unwrap_or_default().to_owned(),
        problem,
        read: found.as_ref().and_then(|found| found.read).map(number),
        has_stopped: found.as_ref().is_some_and(|found| found.stopped),
        frame: Frame::new(&asked, "Causes", Some(now)).live(&asked),
    })
}

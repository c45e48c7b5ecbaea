//! The form in which somebody makes a schedule, or changes one.

use std::time::Duration;

use askama::Template;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::draft::Draft;
use crate::calendar::{CatchUp, Overlap};
use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::form::Control;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::pages::act::done_to;
use crate::defaults;
use crate::operate::filter::Age;
use crate::operate::schedules::Upserted;
use crate::store::ScheduleRow;
use crate::task::by_name::enqueue_options;
use crate::task::registration::Registration;

/// What stands in the fields beside the payload, as it is typed.
struct Typed {
    name: String,
    expression: String,
    timezone: String,
    task_type: String,
    catch_up: String,
    catch_up_within: String,
    overlap: String,
    jitter: String,
}

impl Typed {
    fn new() -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            name: String::new(),
            expression: String::new(),
            timezone: text("UTC"),
            task_type: String::new(),
            catch_up: text(CatchUp::default().word()),
            catch_up_within: String::new(),
            overlap: text(Overlap::default().word()),
            jitter: String::new(),
        }
    }

    fn of(row: &ScheduleRow) -> Self {
        Self {
            name: row.name.clone(),
            expression: row.expression.clone(),
            timezone: row.timezone.clone(),
            task_type: row.task_type.clone(),
            catch_up: row.catch_up.clone(),
            catch_up_within: row.catch_up_within.map(typed).unwrap_or_default(),
            overlap: row.overlap.clone(),
            jitter: match row.jitter {
                0.0 => String::new(),
                seconds => typed(seconds),
            },
        }
    }

    fn sent(asked: &Asked) -> Self {
        let text = |name| asked.said.text(name).unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            expression: text("expression"),
            timezone: text("timezone"),
            task_type: text("type"),
            catch_up: text("catch_up"),
            catch_up_within: text("catch_up_within"),
            overlap: text("overlap"),
            jitter: text("jitter"),
        }
    }
}

/// Returns seconds as somebody types them.
fn typed(seconds: f64) -> String {
    let whole = seconds.fract() == 0.0 && seconds >= 1.0;
    let age = whole.then(|| Age::read(&format!("{seconds}s"))).flatten();
    age.map_or_else(|| format!("{seconds}s"), |age| age.to_string())
}

/// Reads a time such as `90s`, `0.5s` or `2h`; `None` where nothing is typed.
fn read(what: &str, text: &str) -> Result<Option<Duration>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let of_seconds = || {
        let seconds = text.strip_suffix('s')?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    let age = Age::read(text).map(|age| Duration::from_secs(age.seconds()));
    let read = age.or_else(of_seconds).map(Some);
    read.ok_or_else(|| {
        Failure::Refused(format!(
            "{what}: `{text}` is no time: write a number with s, m, h, d or w, as in 90s or 1h"
        ))
    })
}

#[derive(Template)]
#[template(path = "dashboard/schedule.html")]
struct SchedulePage {
    frame: Frame,
    typed: Typed,
    draft: Draft,
    /// The queue and the priority of its tasks, if nothing else is typed.
    queue: &'static str,
    priority: i16,
    /// Whether there is such a schedule: its name stays.
    is_there: bool,
    /// Who has said by hand what holds; absent where a program declares it.
    made_by: Option<String>,
    error: Option<String>,
    /// Why nothing was done.
    problem: Option<String>,
}

impl SchedulePage {
    fn of(asked: &Asked, typed: Typed, mut draft: Draft, row: Option<&ScheduleRow>) -> Self {
        let title = match row {
            Some(row) => format!("Change {}", row.name),
            None => "Make a schedule".to_owned(),
        };
        let declared = handler(asked, &typed.task_type).map(|handler| &handler.options);
        let problem = draft.problem.take();
        let has_failed = problem.is_some();
        let error = row.and_then(|row| row.error.clone());
        Self {
            queue: declared.map_or(defaults::QUEUE, |it| it.queue),
            priority: declared.map_or(0, |it| it.priority),
            frame: Frame::new(asked, title, None),
            typed,
            problem,
            draft,
            is_there: row.is_some(),
            made_by: row.and_then(|row| row.made_by.clone()),
            // What was typed is mostly no better.
            error: error.filter(|_| !has_failed),
        }
    }
}

fn handler<'a>(asked: &'a Asked, task_type: &str) -> Option<&'a Registration> {
    asked.registry().ok()?.find(task_type)
}

/// Shows what a schedule does, or nothing yet, in fields.
pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let Some(name) = asked.said.text("name") else {
        asked.require(May::Look)?;
        let draft = Draft::of(&asked, None, "{}", ("schedule", &[]));
        return page(&SchedulePage::of(&asked, Typed::new(), draft, None));
    };
    let row = asked.reader()?.schedule(name).await?;
    let missing = || Failure::Missing(format!("there is no schedule {name}"));
    let row = row.ok_or_else(missing)?;
    let option = |name| match row.options.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let draft = Draft {
        queue: option("queue"),
        priority: option("priority"),
        ..Draft::of(
            &asked,
            handler(&asked, &row.task_type),
            row.shown.get(),
            ("schedule", &[("name", name)]),
        )
    };
    page(&SchedulePage::of(
        &asked,
        Typed::of(&row),
        draft,
        Some(&row),
    ))
}

/// Makes a schedule, or changes it. If that fails, what was typed is there again.
pub(in crate::dashboard) async fn upsert(asked: Asked) -> Result<Answer, Failure> {
    asked.require(May::Act)?;
    let row = asked
        .reader()?
        .schedule(asked.said.required("name")?)
        .await?;
    let typed = Typed::sent(&asked);
    let mut draft = Draft::sent(&asked, handler(&asked, &typed.task_type));
    match try_upsert(&asked, &typed, &mut draft, row.as_ref()).await {
        Ok(answer) => Ok(answer),
        Err(failure) => {
            draft.problem = Some(failure.text());
            let page = page(&SchedulePage::of(&asked, typed, draft, row.as_ref()))?;
            Ok(page.again(failure.status()))
        }
    }
}

async fn try_upsert(
    asked: &Asked,
    typed: &Typed,
    draft: &mut Draft,
    row: Option<&ScheduleRow>,
) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let is_known = |typed: &str, words: &[&str]| typed.is_empty() || words.contains(&typed);
    if !is_known(&typed.catch_up, &["none", "once", "all"])
        || !is_known(&typed.overlap, &["allow", "skip", "one_waiting"])
    {
        let text = "`catch_up` is none, once or all, and `overlap` is allow, skip or one_waiting";
        return Err(Failure::Senseless(text.to_owned()));
    }
    if row.is_some() && asked.said.has("new") {
        return Err(Failure::Refused(format!(
            "there is a schedule {} already: choose another name, or change that one",
            typed.name
        )));
    }
    let task_type = asked.said.required("type")?;
    let payload = draft.payload()?;
    let row = row.filter(|row| row.task_type == task_type);
    let payload = match row {
        Some(row) => operator.schedule_payload(row, &payload).await?,
        None => payload,
    };
    let mut options = options(asked, draft, row, task_type, &payload)?;
    let declared = handler(asked, task_type).map(|handler| &handler.options);
    let queue = asked.said.text("queue");
    let priority: Option<i16> = asked.said.number("priority")?;
    let queue = queue.or_else(|| declared.map(|it| it.queue));
    let priority = priority.or_else(|| declared.map(|it| it.priority));
    options.insert("queue".to_owned(), queue.unwrap_or(defaults::QUEUE).into());
    options.insert("priority".to_owned(), priority.unwrap_or(0).into());
    let texts = [&*typed.name, &*typed.expression, &*typed.timezone];
    let mut upsert = operator
        .upsert_schedule(texts, task_type, options, payload)
        .catch_up(CatchUp::of_word(&typed.catch_up))
        .overlap(Overlap::of_word(&typed.overlap));
    if let Some(within) = read("Made up within", &typed.catch_up_within)? {
        upsert = upsert.catch_up_within(within);
    }
    if let Some(jitter) = read("Later by up to", &typed.jitter)? {
        upsert = upsert.jitter(jitter);
    }
    if let Some(reason) = asked.reason() {
        upsert = upsert.because(reason);
    }
    let word = match upsert.await? {
        Upserted::Created => "made",
        Upserted::Changed => "changed",
        Upserted::Mended => "corrected",
        Upserted::Unchanged => "same",
    };
    done_to(asked, "schedules", word, &typed.name)
}

/// Returns the options of its tasks: those that it has, or those that its type declares. A payload that is new is checked as
/// the handler of its type would read it.
fn options(
    asked: &Asked,
    draft: &mut Draft,
    row: Option<&ScheduleRow>,
    task_type: &str,
    payload: &RawValue,
) -> Result<Map<String, Value>, Failure> {
    if let Some(row) = row
        && row.payload.get() == payload.get()
    {
        return Ok(row.options.clone());
    }
    let handler = draft.checked(asked, task_type, payload)?;
    let declared = handler.map(|handler| &handler.options);
    Ok(match row {
        Some(row) => {
            let mut options = row.options.clone();
            if let Some(declared) = declared {
                options.insert("payload_version".to_owned(), declared.version.into());
            }
            options
        }
        None => declared.map(enqueue_options).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was() {
        for seconds in [0.25, 1.0, 90.0, 3_600.0, 86_400.0, 1.5] {
            let text = typed(seconds);
            let back = read("it", &text).expect("a time").expect("some");
            assert_eq!(back, Duration::from_secs_f64(seconds), "{text}");
        }
        assert!(read("it", "soon").is_err() && read("it", "-1s").is_err());
    }
}

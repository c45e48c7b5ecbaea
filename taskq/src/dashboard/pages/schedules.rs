//! Schedules: when they tick next, what has become of the last ticks.

use askama::Template;
use chrono::{DateTime, Utc};

use super::queues::PauseLine;
use crate::calendar::{CatchUp, Overlap, Skip};
use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::calendar_words;
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::pages::act::{done, done_to, page_of};
use crate::dashboard::text::{When, link, number, span, when};
use crate::operate::filter::Filter;
use crate::operate::schedule_status::ScheduleStatus;
use crate::operate::schedules::Removed;

struct ScheduleLine {
    name: String,
    expression: String,
    timezone: String,
    task_type: String,
    link: String,
    words: String,
    next: Option<When>,
    last: Option<When>,
    last_task: Option<(i64, String)>,
    /// When it was last run by hand, and the task of that.
    by_hand: Option<(When, Option<(i64, String)>)>,
    ticks: String,
    missed: String,
    overlapping: String,
    has_skipped: bool,
    pause: Option<PauseLine>,
    rests: bool,
    /// Where it can be changed.
    change: String,
    is_late: bool,
    made_by: Option<String>,
    reason: Option<String>,
    declares: Option<String>,
    error: Option<String>,
    /// Which ticks were left out last, how many, and why.
    skips: Vec<SkipLine>,
}

struct SkipLine {
    ticks: String,
    at: When,
    why: String,
    link: Option<String>,
}

/// After how many seconds a tick is late.
const LATE: i64 = 60;

impl ScheduleLine {
    fn of(schedule: &ScheduleStatus, now: DateTime<Utc>) -> Self {
        let of_type = Filter::of_names(None, Some(&schedule.task_type)).to_string();
        let late = |next: DateTime<Utc>| now.signed_duration_since(next).num_seconds() > LATE;
        let rests = !schedule.is_alive && schedule.pause.is_none();
        Self {
            name: schedule.name.clone(),
            expression: schedule.expression.clone(),
            timezone: schedule.timezone.clone(),
            task_type: schedule.task_type.clone(),
            link: link("tasks", &[("q", &of_type)]),
            words: words(schedule),
            next: schedule.next_tick.map(|at| when(at, now)),
            last: schedule.last_tick.map(|at| when(at, now)),
            last_task: schedule
                .last_task_ids
                .last()
                .filter(|id| schedule.ran_task_id != Some(**id))
                .map(|id| (*id, page_of(*id))),
            by_hand: schedule.ran_at.map(|at| {
                let task_id = schedule.ran_task_id;
                (when(at, now), task_id.map(|id| (id, page_of(id))))
            }),
            ticks: number(schedule.ticks),
            missed: number(schedule.skipped_missed),
            overlapping: number(schedule.skipped_overlap),
            has_skipped: schedule.skipped_missed + schedule.skipped_overlap > 0,
            pause: schedule
                .pause
                .as_ref()
                .map(|pause| PauseLine::of(pause, now)),
            is_late: schedule.pause.is_none() && schedule.next_tick.is_some_and(late),
            rests,
            change: link("schedule", &[("name", &schedule.name)]),
            made_by: schedule.made_by.clone(),
            reason: schedule.reason.clone(),
            declares: schedule.declares.clone(),
            error: schedule.error.clone(),
            skips: schedule
                .skips
                .iter()
                .rev()
                .map(|it| SkipLine::of(it, now))
                .collect(),
        }
    }
}

impl SkipLine {
    fn of(skip: &Skip, now: DateTime<Utc>) -> Self {
        Self {
            ticks: skip.ticks(),
            at: when(skip.to, now),
            why: skip.because(),
            link: skip.task_id.map(page_of),
        }
    }
}

/// Returns when a schedule ticks, and what becomes of ticks that were missed or overlap.
fn words(schedule: &ScheduleStatus) -> String {
    let ticks = calendar_words::words(&schedule.expression);
    let ticks = ticks.map_or_else(String::new, |ticks| format!("{ticks}; "));
    let missed = match schedule.catch_up {
        CatchUp::None => "what was missed while no worker took it is left out",
        CatchUp::All => "each tick that was missed while no worker took it is made up",
        CatchUp::Once => "what was missed while no worker took it is made up once",
    };
    let within = schedule
        .catch_up_within
        .map(|within| format!(", of the last {}", span(within)));
    let overlap = match schedule.overlap {
        Overlap::Allow => "it ticks even while the last task is there",
        Overlap::Skip => "it leaves a tick out while the last task is there",
        Overlap::OneWaiting => "it leaves a tick out while the last task waits",
    };
    let jitter = match schedule.jitter.is_zero() {
        true => String::new(),
        false => format!("; up to {} later", span(schedule.jitter)),
    };
    format!(
        "{ticks}{missed}{}; {overlap}{jitter}",
        within.unwrap_or_default()
    )
}

#[derive(Template)]
#[template(path = "dashboard/schedules.html")]
struct SchedulesPage {
    frame: Frame,
    schedules: Vec<ScheduleLine>,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let now = reader.now().await?;
    let found = reader.schedules().await?;
    page(&SchedulesPage {
        schedules: found.iter().map(|it| ScheduleLine::of(it, now)).collect(),
        frame: Frame::new(&asked, "Schedules", Some(now)).live(&asked),
    })
}

/// Enqueues a task of a schedule now.
pub(in crate::dashboard) async fn run(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let running = operator.run_schedule(asked.said.required("name")?);
    let task_id = running.because_if(asked.reason()).await?;
    done(&asked, &page_of(task_id), "run")
}

/// Takes back what somebody has said of a schedule.
pub(in crate::dashboard) async fn remove(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let name = asked.said.required("name")?;
    let removing = operator.remove_schedule(name);
    match removing.because_if(asked.reason()).await? {
        Removed::Gone => done(&asked, "schedules", "removed"),
        Removed::Absent => done(&asked, "schedules", "absent"),
        Removed::Reset => done_to(&asked, "schedules", "declared", name),
        Removed::Mended => done_to(&asked, "schedules", "mended", name),
    }
}

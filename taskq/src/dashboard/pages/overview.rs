//! The overview: trouble first, then what waits and what is done.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};

use super::queues::{KindLine, by_trouble};
use crate::dashboard::access::May;
use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::chart::{Chart, charts};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::pages::act::done;
use crate::dashboard::text::{age, number};
use crate::dashboard::trouble::Trouble;
use crate::operate::doctor::Severity;
use crate::operate::stats::KindStats;
use crate::operate::workers::WorkerStatus;

/// How many kinds the overview has: those in the most trouble.
const KINDS: usize = 12;

/// By what the doctor calls a setting of the server.
const SETTING: &str = "setting";

/// For how long the charts go back.
const TIMES: [(u64, &str, &str); 3] = [(1, "1", "Hour"), (6, "6", "6 hours"), (24, "24", "Day")];

struct TimeLink {
    name: &'static str,
    hours: &'static str,
    is_here: bool,
}

/// A number that says how things are.
struct Figure {
    name: &'static str,
    value: String,
    note: String,
    link: &'static str,
}

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct Overview {
    frame: Frame,
    troubles: Vec<Trouble>,
    /// What somebody has acknowledged.
    known: Vec<Trouble>,
    heading: String,
    /// How many of the troubles are settings of the server.
    settings: usize,
    figures: Vec<Figure>,
    kinds: Vec<KindLine>,
    more_kinds: usize,
    charts: [Chart; 3],
    times: Vec<TimeLink>,
    width: f64,
    height: f64,
    gutter: f64,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let hours: Option<u64> = asked.said.number("hours")?;
    let hours = hours
        .filter(|hours| TIMES.iter().any(|(it, ..)| it == hours))
        .unwrap_or(1);
    let time = Duration::from_secs(hours * 3_600);
    // Beside each other: the first two take as long as all others.
    let (ailments, stats, others) = tokio::try_join!(reader.doctor(), reader.stats(), async {
        let limits = reader.limits().await?;
        let minutes = reader.minute_totals(time).await?;
        Ok((limits, minutes, reader.workers().await?))
    })?;
    let (limits, minutes, workers) = others;
    let now = stats.at;
    let all = ailments.into_iter().map(|it| Trouble::of(it, now));
    let (known, troubles): (Vec<_>, Vec<_>) = all.partition(|it| it.known.is_some());
    let figures = figures(&stats.kinds, &workers, now);
    let kinds = by_trouble(stats.kinds);
    let times = TIMES.iter().map(|(it, text, name)| TimeLink {
        name,
        hours: text,
        is_here: *it == hours,
    });
    page(&Overview {
        heading: heading(&troubles),
        settings: troubles.iter().filter(|it| it.problem == SETTING).count(),
        troubles,
        known,
        figures,
        more_kinds: kinds.len().saturating_sub(KINDS),
        kinds: kinds
            .iter()
            .take(KINDS)
            .map(|kind| KindLine::of(kind, &limits, now))
            .collect(),
        charts: charts(&minutes, &releases(&workers), now, time),
        times: times.collect(),
        width: crate::dashboard::chart::WIDTH,
        height: crate::dashboard::chart::HEIGHT,
        gutter: crate::dashboard::chart::GUTTER,
        frame: Frame::new(&asked, "Overview", Some(now)).live(&asked),
    })
}

/// Says that a trouble is known and stays as it is.
pub(in crate::dashboard) async fn acknowledge(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let severity = match asked.said.required("severity")? {
        "error" => Severity::Error,
        "warning" => Severity::Warning,
        other => {
            return Err(Failure::Senseless(format!(
                "there is no severity `{other}`"
            )));
        }
    };
    let (problem, subject) = (
        asked.said.required("problem")?,
        asked.said.required("subject")?,
    );
    let reader = asked.reader()?;
    let now = reader.now().await?;
    let until = asked.said.moment("until", now)?;
    let is_all = asked.said.has("all") && problem == SETTING;
    let mut those = vec![(subject.to_owned(), severity)];
    if is_all {
        let found = reader.doctor().await?.into_iter();
        let found = found.filter(|it| it.problem == SETTING && it.acknowledged.is_none());
        those = found.map(|it| (it.subject, it.severity)).collect();
    }
    for (subject, severity) in those {
        let mut acknowledging = operator.acknowledge(problem, &subject, severity);
        if let Some(until) = until {
            acknowledging = acknowledging.until(until);
        }
        acknowledging.because_if(asked.reason()).await?;
    }
    let word = if is_all { "all-known" } else { "known" };
    done(&asked, "overview", word)
}

/// Has it count again.
pub(in crate::dashboard) async fn unacknowledge(asked: Asked) -> Result<Answer, Failure> {
    let operator = asked.operator(May::Act)?;
    let (problem, subject) = (
        asked.said.required("problem")?,
        asked.said.required("subject")?,
    );
    let again = operator.unacknowledge(problem, subject);
    let word = match again.because_if(asked.reason()).await? {
        true => "unknown",
        false => "unacknowledged",
    };
    done(&asked, "overview", word)
}

/// `2 errors, 1 warning`
fn heading(troubles: &[Trouble]) -> String {
    let errors = troubles.iter().filter(|it| it.is_error).count();
    let counts = [(errors, "error"), (troubles.len() - errors, "warning")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let words = counts.map(|(count, word)| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn figures(kinds: &[KindStats], workers: &[WorkerStatus], now: DateTime<Utc>) -> Vec<Figure> {
    let sum = |of: fn(&KindStats) -> i64| {
        let is_more = kinds.iter().any(|kind| of(kind) >= kind.counted_to);
        let sum: i64 = kinds.iter().map(of).sum();
        format!("{}{}", number(sum), if is_more { "+" } else { "" })
    };
    let running: i64 = kinds.iter().map(|kind| kind.running).sum();
    let alive = workers.iter().filter(|worker| worker.is_alive);
    let slots = alive.clone().filter_map(|worker| worker.slots);
    let slots: i64 = slots.map(i64::from).sum();
    let oldest = kinds.iter().filter_map(|kind| kind.oldest_due_at).min();
    vec![
        Figure {
            name: "Oldest due",
            value: oldest.map_or_else(|| "–".to_owned(), |at| age(at, now)),
            note: match oldest {
                Some(_) => "has waited".to_owned(),
                None => "nothing is due".to_owned(),
            },
            link: "tasks?q=state%3Adue",
        },
        Figure {
            name: "Due",
            value: sum(|kind| kind.due),
            note: format!("{} scheduled", sum(|kind| kind.scheduled)),
            link: "tasks?q=state%3Adue",
        },
        Figure {
            name: "Running",
            value: number(running),
            note: match slots {
                0 => String::new(),
                slots => format!("of {} slots", number(slots)),
            },
            link: "tasks?q=state%3Arunning",
        },
        Figure {
            name: "Dead",
            value: sum(|kind| kind.dead),
            note: "but for cancelled ones".to_owned(),
            link: "causes",
        },
        Figure {
            name: "Workers",
            value: number(i64::try_from(alive.count()).unwrap_or(i64::MAX)),
            note: "alive".to_owned(),
            link: "workers",
        },
    ]
}

/// Returns when each release appeared, as far as its workers are still known.
fn releases(workers: &[WorkerStatus]) -> Vec<(String, DateTime<Utc>)> {
    let mut releases: Vec<(String, DateTime<Utc>)> = Vec::new();
    for worker in workers {
        let Some(release) = &worker.release else {
            continue;
        };
        match releases.iter_mut().find(|(name, _)| name == release) {
            Some((_, first)) => *first = worker.started_at.min(*first),
            None => releases.push((release.clone(), worker.started_at)),
        }
    }
    releases
}

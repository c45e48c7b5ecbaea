//! Queues and types: how much waits, who serves it, what is paused.

use std::collections::BTreeMap;

use askama::Template;
use chrono::{DateTime, Utc};

use crate::dashboard::board::{Answer, Asked};
use crate::dashboard::failure::Failure;
use crate::dashboard::frame::{Frame, page};
use crate::dashboard::text::{When, age, counted, link, number, when};
use crate::operate::filter::{DIED, Filter};
use crate::operate::limit::{Limit, LimitScope};
use crate::operate::pause::{Pause, Scope};
use crate::operate::stats::KindStats;
use crate::task::registry::Registry;

/// How much there is of one queue and one type.
pub(super) struct KindLine {
    pub(super) queue: String,
    pub(super) task_type: String,
    pub(super) link: String,
    pub(super) dead_link: String,
    pub(super) age: String,
    pub(super) due: String,
    pub(super) scheduled: String,
    pub(super) running: String,
    pub(super) dead: String,
    pub(super) has_dead: bool,
    pub(super) is_paused: bool,
    /// Whether a limit lets nothing of it start.
    pub(super) is_closed: bool,
    pub(super) is_unserved: bool,
    /// Whether something is due that nobody takes.
    pub(super) is_late: bool,
}

/// After how many seconds a due task is late.
const LATE: i64 = 60;

impl KindLine {
    pub(super) fn of(kind: &KindStats, limits: &[Limit], now: DateTime<Utc>) -> Self {
        let filter = Filter::of_names(Some(&kind.queue), Some(&kind.task_type)).to_string();
        let dead = format!("{filter} {DIED}");
        let waits = kind
            .oldest_due_at
            .map(|at| now.signed_duration_since(at).num_seconds());
        Self {
            link: link("tasks", &[("q", &filter)]),
            dead_link: link("tasks", &[("q", &dead)]),
            age: kind
                .oldest_due_at
                .map(|at| age(at, now))
                .unwrap_or_default(),
            due: counted(kind.due, kind.counted_to),
            scheduled: counted(kind.scheduled, kind.counted_to),
            running: number(kind.running),
            dead: counted(kind.dead, kind.counted_to),
            has_dead: kind.dead > 0,
            is_paused: kind.is_paused,
            is_closed: limits.iter().any(|limit| closes(limit, kind)),
            is_unserved: !kind.is_served && kind.due + kind.scheduled > 0,
            is_late: waits.is_some_and(|seconds| seconds > LATE),
            queue: kind.queue.clone(),
            task_type: kind.task_type.clone(),
        }
    }
}

/// Tells whether a limit lets nothing of a kind start.
fn closes(limit: &Limit, kind: &KindStats) -> bool {
    limit.is_nothing()
        && match &limit.scope {
            LimitScope::Queue(name) => *name == kind.queue,
            LimitScope::TaskType(name) | LimitScope::Key(name) => *name == kind.task_type,
        }
}

/// Returns kinds by trouble: by the age of the oldest due task, then by what is dead.
pub(super) fn by_trouble(mut kinds: Vec<KindStats>) -> Vec<KindStats> {
    kinds.sort_by(|a, b| {
        let oldest = |kind: &KindStats| kind.oldest_due_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        let by_age = oldest(a).cmp(&oldest(b));
        let by_dead = b.dead.cmp(&a.dead);
        let by_name = (&a.queue, &a.task_type).cmp(&(&b.queue, &b.task_type));
        by_age.then(by_dead).then(by_name)
    });
    kinds
}

/// A queue or a type, and whether it is paused.
pub(super) struct Pausable {
    scope: &'static str,
    name: String,
    pause: Option<PauseLine>,
    /// Where this program declares it.
    place: Option<String>,
    details: String,
    link: String,
    is_unknown: bool,
}

pub(super) struct PauseLine {
    pub(super) since: When,
    pub(super) until: Option<When>,
    pub(super) by: String,
    pub(super) reason: String,
}

impl PauseLine {
    pub(super) fn of(pause: &Pause, now: DateTime<Utc>) -> Self {
        Self {
            since: when(pause.since, now),
            until: pause.until.map(|at| when(at, now)),
            by: pause.by.clone(),
            reason: pause.reason.clone().unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/queues.html")]
struct Queues {
    frame: Frame,
    kinds: Vec<KindLine>,
    has_stopped: bool,
    queues: Vec<Pausable>,
    types: Vec<Pausable>,
    /// Whether handlers are linked into this program at all.
    knows_types: bool,
    problem: Option<String>,
}

pub(in crate::dashboard) async fn show(asked: Asked) -> Result<Answer, Failure> {
    let reader = asked.reader()?;
    let stats = reader.stats().await?;
    let (pauses, limits) = (reader.pauses().await?, reader.limits().await?);
    let now = stats.at;
    let registry = asked.board.registry.as_ref();
    let names = Names::of(&stats.kinds, &pauses, registry.ok());
    let kinds = by_trouble(stats.kinds);
    page(&Queues {
        kinds: kinds
            .iter()
            .map(|kind| KindLine::of(kind, &limits, now))
            .collect(),
        has_stopped: stats.stopped,
        queues: names.queues(&pauses, now),
        types: names.types(&pauses, now),
        knows_types: registry.is_ok_and(|it| !it.is_empty()),
        problem: registry.err().map(|error| crate::error::error_text(error)),
        frame: Frame::new(&asked, "Queues and types", Some(now)).live(&asked),
    })
}

/// What queues and types there are: in the tables, in this program, and in pauses.
struct Names {
    queues: BTreeMap<String, String>,
    types: BTreeMap<String, (Option<String>, String)>,
    is_program_known: bool,
}

impl Names {
    fn of(kinds: &[KindStats], pauses: &[Pause], registry: Option<&Registry>) -> Self {
        let (mut queues, mut types) = (BTreeMap::new(), BTreeMap::new());
        let registry = registry.filter(|it| !it.is_empty());
        for handler in registry.into_iter().flat_map(Registry::handlers) {
            let details = format!("queue {}", handler.options.queue);
            queues.insert(handler.options.queue.to_owned(), "declared here".to_owned());
            let place = Some(handler.place());
            types.insert(handler.task_type.to_owned(), (place.clone(), details));
            for alias in handler.declaration.aliases {
                let details = format!("another name of {}", handler.task_type);
                types.insert((*alias).to_owned(), (place.clone(), details));
            }
        }
        let of_pauses = pauses.iter().filter_map(|pause| match &pause.scope {
            Scope::Queue(name) => Some((Some(name.clone()), None)),
            Scope::TaskType(name) => Some((None, Some(name.clone()))),
            Scope::Schedule(_) => None,
        });
        let of_kinds = kinds.iter();
        let of_kinds = of_kinds.map(|it| (Some(it.queue.clone()), Some(it.task_type.clone())));
        for (queue, task_type) in of_kinds.chain(of_pauses) {
            if let Some(queue) = queue {
                queues.entry(queue).or_default();
            }
            if let Some(task_type) = task_type {
                types.entry(task_type).or_default();
            }
        }
        Self {
            queues,
            types,
            is_program_known: registry.is_some(),
        }
    }

    fn queues(&self, pauses: &[Pause], now: DateTime<Utc>) -> Vec<Pausable> {
        let queue = |(name, details): (&String, &String)| Pausable {
            scope: "queue",
            pause: pause_of(pauses, &Scope::Queue(name.clone()), now),
            link: link(
                "tasks",
                &[("q", &Filter::of_names(Some(name), None).to_string())],
            ),
            name: name.clone(),
            place: None,
            details: details.clone(),
            is_unknown: false,
        };
        self.queues.iter().map(queue).collect()
    }

    fn types(&self, pauses: &[Pause], now: DateTime<Utc>) -> Vec<Pausable> {
        let task_type = |(name, (place, details)): (&String, &(Option<String>, String))| Pausable {
            scope: "task_type",
            pause: pause_of(pauses, &Scope::TaskType(name.clone()), now),
            link: link(
                "tasks",
                &[("q", &Filter::of_names(None, Some(name)).to_string())],
            ),
            name: name.clone(),
            place: place.clone(),
            details: details.clone(),
            is_unknown: self.is_program_known && place.is_none(),
        };
        self.types.iter().map(task_type).collect()
    }
}

fn pause_of(pauses: &[Pause], scope: &Scope, now: DateTime<Utc>) -> Option<PauseLine> {
    let pause = pauses.iter().find(|pause| pause.scope == *scope);
    pause.map(|pause| PauseLine::of(pause, now))
}

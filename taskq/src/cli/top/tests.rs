//! A staged morning, without a terminal and without a database: what the screen shows of it, and what keys do.

mod keys;
mod shows;

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use uuid::Uuid;

use super::ask::Effect;
use super::draw::draw;
use super::rates::Rates;
use super::seen::News;
use super::view::{Mode, TABS, Tab, View};
use crate::operate::bulk::BulkVerb;
use crate::operate::cause::Cause;
use crate::operate::doctor::{Ailment, Severity};
use crate::operate::list::FoundTask;
use crate::operate::minutes::{Minute, Spread};
use crate::operate::moment::Moment;
use crate::operate::pause::{Queue, TaskType};
use crate::operate::remedy::Remedy;
use crate::operate::stats::{KindStats, Stats};
use crate::operate::task::TaskState;
use crate::operate::workers::WorkerStatus;

fn now() -> DateTime<Utc> {
    "2026-03-01T07:30:00Z".parse().expect("a time")
}

fn ago(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

fn kind(queue: &str, task_type: &str, due: i64) -> KindStats {
    KindStats {
        queue: queue.to_owned(),
        task_type: task_type.to_owned(),
        due,
        scheduled: 2,
        counted_to: 10_000,
        oldest_due_at: (due > 0).then(|| ago(due)),
        running: 1,
        dead: 0,
        is_paused: false,
        is_served: true,
    }
}

fn stats(at: DateTime<Utc>, kinds: Vec<KindStats>) -> Stats {
    Stats {
        at,
        kinds,
        stopped: false,
    }
}

fn minute(completed: i64) -> Minute {
    Minute {
        minute: ago(120),
        queue: "mail".to_owned(),
        task_type: "send_card".to_owned(),
        completed,
        failed: 7,
        died: 0,
        wait: Spread::default(),
        run: Spread::default(),
    }
}

fn morning() -> View {
    let target = "database shop on db1:5432 as ada, schema taskq".to_owned();
    let mut view = View::new(target, false, false);
    let mut paused = kind("mail", "send_card", 1_000);
    (paused.is_paused, paused.dead) = (true, 4_998);
    let mut unserved = kind("default", "purge", 10_000);
    (unserved.is_served, unserved.oldest_due_at) = (false, Some(ago(50)));
    let kinds = vec![unserved, paused, kind("render", "thumbnail", 0)];
    let task = |task_id, seconds| FoundTask {
        task_id,
        task_type: "thumbnail".to_owned(),
        state: TaskState::Running,
        queue: "render".to_owned(),
        priority: 0,
        at: ago(seconds),
        run_at: None,
        attempts: 0,
        max_attempts: None,
        crashes: 0,
        error: None,
        cause: None,
        worker_id: Some(Uuid::nil().to_string()),
    };
    view.learn(News::Often(
        stats(now(), kinds),
        vec![task(41, 5), task(7, 3_700)],
    ));
    let worker = WorkerStatus {
        worker_id: Uuid::nil(),
        host: "web1".to_owned(),
        process_id: 4242,
        release: Some("1.4.2".to_owned()),
        queues: vec!["render".to_owned(), "mail".to_owned()],
        task_types: vec!["thumbnail".to_owned(), "send_card".to_owned()],
        slots: Some(20),
        running: 2,
        leases: 1,
        oldest_claimed_at: None,
        started_at: ago(9_000),
        seen_at: ago(3),
        expires_at: ago(-27),
        stop_asked_at: None,
        is_alive: true,
    };
    let cause = |cause: &str, total, error: &str, last| Cause {
        cause: cause.to_owned(),
        task_type: "send_card".to_owned(),
        state: TaskState::Discarded,
        total,
        and_more: false,
        first_at: ago(9_000),
        last_at: ago(last),
        last_task_id: 1_000 + last,
        error: Some(error.to_owned()),
    };
    let causes = vec![
        cause("00000000000000aa", 4_000, "timed out after 3 s", 400),
        cause("00000000000000bb", 998, "no such\x1b[31m address", 20),
    ];
    view.learn(News::Slow(vec![minute(240)], vec![worker], causes));
    let ailment = |severity, said: &str| Ailment {
        severity,
        problem: "dead".to_owned(),
        subject: "send_card".to_owned(),
        said: said.to_owned(),
        advice: "mend the cause, then retry them all".to_owned(),
        command: Some("retry --all cause:00000000000000aa".to_owned()),
        statement: None,
        acknowledged: None,
    };
    view.learn(News::Slowest(vec![
        ailment(Severity::Error, "4,000 tasks of type send_card have died in the last day (discarded), the last 400 s ago"),
        ailment(Severity::Warning, "queue mail has been paused"),
    ]));
    view
}

fn screen(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
    terminal.draw(|frame| draw(frame, view)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

fn press(view: &mut View, code: KeyCode) -> Effect {
    view.press(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_in(view: &mut View, text: &str) {
    for c in text.chars() {
        assert_eq!(press(view, KeyCode::Char(c)), Effect::Nothing);
    }
}

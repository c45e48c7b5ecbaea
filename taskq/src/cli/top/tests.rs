//! What the screen shows and what keys do, without a terminal and without a database.

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use uuid::Uuid;

use super::ask::Effect;
use super::draw::draw;
use super::rates::Rates;
use super::seen::News;
use super::view::{Tab, View};
use crate::operate::bulk::BulkVerb;
use crate::operate::cause::Cause;
use crate::operate::doctor::{Ailment, Severity};
use crate::operate::list::FoundTask;
use crate::operate::minutes::{Minute, Spread};
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

#[test]
fn the_queues_stand_in_the_order_of_their_trouble() {
    let lines = screen(&morning(), 80, 24);
    let expected = [
        "  taskq  database shop on db1:5432 as ada, schema taskq                07:30:00Z",
        " 1 error, 1 warning: 4,000 tasks of type send_card have died in the l…  w all",
        "  Queues 3   Running 2   Causes 2   Workers 1   Trouble 2",
        " QUEUE       TYPE              OLDEST    DUE  RUNS    IN   OUT   DEAD",
        " mail        send_card         16 min   1000     1     -   120   4998 paused",
        " default     purge               50 s 10000+     1     -     0      - no worker",
        " render      thumbnail              -      0     1     -     0      -",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line.trim(), expected.trim(), "{}", lines.join("\n"));
    }
    assert!(lines[23].ends_with("? help  q quit"), "{}", lines[23]);
    assert!(lines[23].contains("p pause  r retry"), "{}", lines[23]);
}

#[test]
fn a_large_screen_shows_what_runs_and_what_tasks_died_of_too() {
    let text = screen(&morning(), 140, 40).join("\n");
    for part in [
        "LATER",
        " running, the oldest first ",
        " what tasks died of last ",
        "web1:4242",
        "timed out after 3 s",
        "no such [31m address",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let at = |part| text.find(part).expect("there");
    assert!(at("no such") < at("timed out"), "the last comes first");
}

#[test]
fn no_size_of_a_terminal_breaks_it() {
    let mut view = morning();
    for code in ['?', 'x', 'w', 'x', 'p'] {
        for (width, height) in [(1, 1), (3, 2), (20, 5), (79, 8), (300, 90)] {
            screen(&view, width, height);
        }
        press(&mut view, KeyCode::Char(code));
    }
}

#[test]
fn what_comes_is_what_goes_and_what_there_is_more_than_before() {
    let mut rates = Rates::default();
    let at = |seconds| {
        stats(
            ago(seconds),
            vec![kind("mail", "send_card", 1_000 - seconds)],
        )
    };
    let of = |rates: &Rates| rates.of(&kind("mail", "send_card", 1_000), &[minute(240)], now());
    rates.record(&at(60));
    assert_eq!(of(&rates).come, None, "one look says nothing");
    for seconds in [58, 30, 0] {
        rates.record(&at(seconds));
    }
    // 240 in the two minutes that were read, and sixty more than a minute ago.
    assert_eq!((of(&rates).go, of(&rates).come), (120.0, Some(180.0)));
    let mut many = stats(now(), vec![kind("mail", "send_card", 10_000)]);
    many.kinds[0].due = 10_000;
    rates.record(&many);
    assert_eq!(of(&rates).come, None, "there are more than were counted");
}

#[test]
fn a_row_stays_chosen_when_others_come_and_go() {
    let mut view = morning();
    press(&mut view, KeyCode::Down);
    assert_eq!(view.kinds()[view.row()].0.queue, "default");
    let kinds = vec![kind("default", "purge", 3)];
    view.learn(News::Often(stats(now(), kinds), Vec::new()));
    assert_eq!(view.row(), 0);
    assert_eq!(view.kinds()[0].0.queue, "default");
}

#[test]
fn a_queue_or_its_type_is_paused_with_a_reason_once_somebody_was_asked() {
    let mut view = morning();
    press(&mut view, KeyCode::Down);
    press(&mut view, KeyCode::Char('p'));
    let text = screen(&view, 80, 24).join("\n");
    assert!(
        text.contains("Pause queue default, with all its task types?"),
        "{text}"
    );
    type_in(&mut view, "wrong VAT");
    assert!(
        screen(&view, 80, 24)
            .join("\n")
            .contains("because wrong VAT")
    );
    let paused = Effect::Pause(Queue("default").into(), Some("wrong VAT".to_owned()));
    assert_eq!(press(&mut view, KeyCode::Enter), paused);

    press(&mut view, KeyCode::Char('p'));
    press(&mut view, KeyCode::Tab);
    assert!(
        screen(&view, 80, 24)
            .join("\n")
            .contains("Pause task type purge, in all queues?")
    );
    assert_eq!(
        press(&mut view, KeyCode::Enter),
        Effect::Pause(TaskType("purge").into(), None)
    );
    press(&mut view, KeyCode::Char('p'));
    assert_eq!(press(&mut view, KeyCode::Esc), Effect::Nothing);

    // What is paused is resumed.
    press(&mut view, KeyCode::Up);
    press(&mut view, KeyCode::Char('p'));
    assert_eq!(
        press(&mut view, KeyCode::Enter),
        Effect::Mend(Remedy::Resume(Queue("mail").into()), None)
    );
}

#[test]
fn all_of_a_row_are_counted_before_somebody_is_asked() {
    let mut view = morning();
    let dead = "state:discarded,invalid,quarantined,expired queue:\"mail\" type:\"send_card\"";
    let freeze = Effect::Freeze(BulkVerb::Retry, dead.to_owned());
    assert_eq!(press(&mut view, KeyCode::Char('r')), freeze);
    view.ask_bulk(9, BulkVerb::Retry, 4_998, dead.to_owned());
    let text = screen(&view, 80, 24).join("\n");
    assert!(text.contains("Retry 4998 tasks?"), "{text}");
    assert_eq!(press(&mut view, KeyCode::Char('y')), Effect::Run(9));
    view.ask_bulk(9, BulkVerb::Discard, 1, dead.to_owned());
    assert_eq!(press(&mut view, KeyCode::Char('n')), Effect::Drop(9));

    view.tab = Tab::Causes;
    press(&mut view, KeyCode::Down);
    let cause = "state:discarded cause:00000000000000aa";
    assert_eq!(
        press(&mut view, KeyCode::Char('d')),
        Effect::Freeze(BulkVerb::Discard, cause.to_owned())
    );
    assert_eq!(press(&mut view, KeyCode::Enter), Effect::Show(1_400));

    view.tab = Tab::Running;
    press(&mut view, KeyCode::Char('c'));
    type_in(&mut view, "hangs");
    assert_eq!(
        press(&mut view, KeyCode::Enter),
        Effect::Cancel(7, Some("hangs".to_owned())),
        "the oldest is first"
    );

    view.tab = Tab::Workers;
    press(&mut view, KeyCode::Char('s'));
    assert_eq!(
        press(&mut view, KeyCode::Enter),
        Effect::Stop(Uuid::nil(), None)
    );
}

#[test]
fn where_nothing_may_change_no_key_does_and_none_is_shown() {
    let mut view = morning();
    view.is_read_only = true;
    let lines = screen(&view, 80, 24);
    assert!(lines[0].ends_with("read-only"), "{}", lines[0]);
    assert!(!lines[23].contains("pause"), "{}", lines[23]);
    for tab in super::view::TABS {
        view.tab = tab;
        for key in ['p', 'r', 'c', 'd', 's', 'm', 'a'] {
            assert_eq!(press(&mut view, KeyCode::Char(key)), Effect::Nothing);
            assert!(matches!(view.said, Some(Err(_))), "{key}");
            assert!(!matches!(view.mode, super::view::Mode::Ask(_)), "{key}");
        }
    }
    press(&mut view, KeyCode::Char('?'));
    assert!(!screen(&view, 80, 24).join("\n").contains("retry all"));
}

#[test]
fn a_filter_shows_what_has_its_text() {
    let mut view = morning();
    press(&mut view, KeyCode::Char('/'));
    type_in(&mut view, "THUMB");
    press(&mut view, KeyCode::Enter);
    assert_eq!(view.kinds().len(), 1);
    let text = screen(&view, 80, 24).join("\n");
    assert!(
        text.contains("/THUMB") && !text.contains("send_card  "),
        "{text}"
    );
    assert_eq!(press(&mut view, KeyCode::Esc), Effect::Nothing);
    assert_eq!(view.kinds().len(), 3);
    assert_eq!(press(&mut view, KeyCode::Esc), Effect::Quit);
}

#[test]
fn a_database_that_is_away_is_said_and_the_last_look_stays() {
    let mut view = morning();
    view.learn(News::Away("no answer in 5 s".to_owned()));
    let lines = screen(&view, 80, 24);
    let says = "the database is away, and this is of the last look: no answer in 5 s";
    assert!(lines[1].contains(says), "{}", lines[1]);
    assert!(lines[4].contains("send_card"), "{}", lines[4]);
    view.learn(News::Often(stats(now(), Vec::new()), Vec::new()));
    assert!(view.away.is_none());
}

#[test]
fn what_is_wrong_is_told_with_what_mends_it() {
    let mut view = morning();
    press(&mut view, KeyCode::Char('w'));
    let text = screen(&view, 80, 24).join("\n");
    assert!(text.contains("\n 400 s ago"), "all of it: {text}");
    assert!(
        text.contains("m Retry all: They are counted first."),
        "{text}"
    );
    press(&mut view, KeyCode::Enter);
    let text = screen(&view, 100, 30).join("\n");
    assert!(
        text.contains("retry --all cause:00000000000000aa"),
        "{text}"
    );
    press(&mut view, KeyCode::Esc);
    press(&mut view, KeyCode::Char('w'));
    let text = screen(&view, 100, 30).join("\n");
    assert!(text.contains("queue mail has been paused"), "{text}");
    press(&mut view, KeyCode::Char('1'));
    press(&mut view, KeyCode::Enter);
    let text = screen(&view, 100, 30).join("\n");
    assert!(text.contains("send_card in queue mail"), "{text}");
    assert!(text.contains("the oldest    16 min, since"), "{text}");
}

#[test]
fn one_key_mends_what_the_doctor_says() {
    let mut view = morning();
    view.tab = Tab::Trouble;
    let freeze = Effect::Freeze(BulkVerb::Retry, "cause:00000000000000aa".to_owned());
    let pressed = press(&mut view, KeyCode::Char('m'));
    assert_eq!(pressed, freeze, "it counts before it asks");
    let of = |command: Option<&str>, statement: Option<&str>| Ailment {
        severity: Severity::Error,
        problem: "some".to_owned(),
        subject: "thing".to_owned(),
        said: "it is wrong".to_owned(),
        advice: "start a worker".to_owned(),
        command: command.map(str::to_owned),
        statement: statement.map(str::to_owned),
        acknowledged: None,
    };
    for (command, question, remedy) in [
        (
            "resume type 'a b'",
            "Resume task type a b? Its tasks start again",
            Remedy::Resume(TaskType("a b").into()),
        ),
        (
            "reset-limits queue mail",
            "Reset the limit of queue mail?",
            Remedy::ResetLimits(Queue("mail").into()),
        ),
        (
            "end-session 4711",
            "End session 4711? What it has not committed is rolled back",
            Remedy::EndSession(4711),
        ),
        (
            "skip-dead 41 --frees 12",
            "Go on without task 41? 12 tasks behind it may run",
            Remedy::SkipDead {
                task_id: 41,
                frees: 12,
            },
        ),
        (
            "take-back --all",
            "Have Postgres take them back?",
            Remedy::TakeBackAll,
        ),
        (
            "schedules run nightly",
            "Run nightly now?",
            Remedy::RunSchedule("nightly".to_owned()),
        ),
        (
            "schedules remove nightly",
            "Undo the change to nightly?",
            Remedy::RemoveSchedule("nightly".to_owned()),
        ),
        (
            "forget-worker 00000000-0000-0000-0000-000000000000",
            "Forget the worker?",
            Remedy::ForgetWorker(Uuid::nil()),
        ),
    ] {
        view.learn(News::Slowest(vec![of(Some(command), None)]));
        assert_eq!(press(&mut view, KeyCode::Char('m')), Effect::Nothing);
        let text = screen(&view, 80, 24).join("\n");
        assert!(text.contains(question), "{text}");
        assert!(text.contains("it is wrong"), "{text}");
        type_in(&mut view, "y");
        let why = Some("y".to_owned());
        assert_eq!(press(&mut view, KeyCode::Enter), Effect::Mend(remedy, why));
    }
    // A statement is no text to be run.
    for (command, statement) in [
        (None, Some("drop table taskq.task")),
        (Some("rm -r"), None),
        (None, None),
    ] {
        view.learn(News::Slowest(vec![of(command, statement)]));
        assert_eq!(press(&mut view, KeyCode::Char('m')), Effect::Nothing);
        assert_eq!(view.said, Some(Err("start a worker".to_owned())));
    }
}

#[test]
fn what_is_known_is_no_trouble_any_more_and_can_be_again() {
    let mut view = morning();
    view.tab = Tab::Trouble;
    let mut ailment = view.seen.ailments[1].clone();
    view.learn(News::Slowest(vec![ailment.clone()]));
    let asked = |view: &mut View, question: &str| {
        assert_eq!(press(view, KeyCode::Char('a')), Effect::Nothing);
        let text = screen(view, 80, 24).join("\n");
        assert!(text.contains(question), "{text}");
        press(view, KeyCode::Enter)
    };
    let told = Box::new(ailment.clone());
    assert_eq!(
        asked(&mut view, "Acknowledge it?"),
        Effect::Mend(Remedy::Acknowledge(told), None)
    );
    ailment.acknowledged = serde_json::from_str(
        r#"{"by": "ada", "at": "2026-01-01T00:00:00Z", "reason": "meant so", "until": null}"#,
    )
    .expect("as the tables say it");
    view.learn(News::Slowest(vec![ailment.clone()]));
    let text = screen(&view, 80, 24).join("\n");
    assert!(
        text.contains("nothing is wrong but what somebody has acknowledged"),
        "{text}"
    );
    assert!(text.contains("Trouble 0"), "{text}");
    assert!(
        text.contains("acknowledged by ada (meant so)"),
        "who knows of it: {text}"
    );
    assert_eq!(
        asked(&mut view, "Have it count again?"),
        Effect::Mend(Remedy::Unacknowledge(Box::new(ailment)), None)
    );
}

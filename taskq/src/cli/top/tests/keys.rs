//! What keys do.

use super::*;

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
    let dead = "state:died queue:\"mail\" type:\"send_card\"";
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
    for tab in TABS {
        view.tab = tab;
        for key in ['p', 'r', 'c', 'd', 's', 'm', 'a'] {
            assert_eq!(press(&mut view, KeyCode::Char(key)), Effect::Nothing);
            assert!(matches!(view.said, Some(Err(_))), "{key}");
            assert!(!matches!(view.mode, Mode::Ask(_)), "{key}");
        }
    }
    press(&mut view, KeyCode::Char('?'));
    assert!(!screen(&view, 80, 24).join("\n").contains("retry all"));
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
    // Of many dead ones, one before the others.
    view.learn(News::Slowest(vec![of(Some("retry --all cause:1"), None)]));
    assert_eq!(press(&mut view, KeyCode::Char('o')), Effect::Nothing);
    let text = screen(&view, 80, 24).join("\n");
    assert!(text.contains("Retry one first? It is the newest"), "{text}");
    let one = Remedy::RetryOne("cause:1".to_owned());
    assert_eq!(press(&mut view, KeyCode::Enter), Effect::Mend(one, None));
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
        Effect::Acknowledge(told.clone(), None, None)
    );
    press(&mut view, KeyCode::Char('a'));
    type_in(&mut view, "meant so");
    press(&mut view, KeyCode::Tab);
    type_in(&mut view, "soon");
    assert_eq!(press(&mut view, KeyCode::Enter), Effect::Nothing);
    let text = screen(&view, 80, 24).join("\n");
    assert!(
        text.contains("until   soon") && text.contains("that is no time: write 30m"),
        "it stays, and says what is wrong: {text}"
    );
    "soon"
        .chars()
        .for_each(|_| _ = press(&mut view, KeyCode::Backspace));
    assert!(!screen(&view, 80, 24).join("\n").contains("no time"));
    type_in(&mut view, "7d");
    let text = screen(&view, 80, 24).join("\n");
    assert!(
        text.contains("because meant so") && text.contains("until   7d"),
        "{text}"
    );
    let why = Some("meant so".to_owned());
    assert_eq!(
        press(&mut view, KeyCode::Enter),
        Effect::Acknowledge(told, why, Some(Moment::In(TimeDelta::days(7))))
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

//! What the screen shows.

use super::*;

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

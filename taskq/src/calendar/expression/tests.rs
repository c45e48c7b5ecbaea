//! Which expressions are read, and what is said of others.

use super::expression::Expression;

fn problem(expression: &str) -> String {
    Expression::parse(expression).expect_err(expression)
}

#[test]
fn what_every_cron_takes_is_taken() {
    for expression in [
        "* * * * *",
        "0 3 * * *",
        "*/5 * * * *",
        "0,15,30-45/5 0-23 1,31 1-12 0-7",
        "0 9 * JAN-Mar mon-FRI,sat",
        " 59  23\t31 12 7 ",
        "0 0 0 * * *",
        "*/10 30 9 * * mon",
        "0 0 L,15W,LW,3 * *",
        "0 0 * * mon#1,friL,5L",
        "0 0 * * fri-sun",
        "0 0 1-31/2 * mon",
        "@daily",
        "@Hourly",
    ] {
        assert!(Expression::parse(expression).is_ok(), "{expression}");
    }
}

#[test]
fn one_meaning_has_one_expression() {
    for (one, other) in [
        ("@yearly", "0 0 1 jan *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * sun"),
        ("@midnight", "0 0 0 * * *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * fri-sun", "0 0 * * 0,5,6"),
        ("0 0 * * 5-7", "0 0 * * fri,sat,sun"),
        ("0 0 * * sun-tue", "0 0 * * 0-2"),
        ("0 0 * * 5L", "0 0 * * FRIl"),
        ("0 0 lw * *", "0 0 WL * *"),
    ] {
        let read = |text| Expression::parse(text).expect("it is read");
        assert_eq!(read(one), read(other), "{one}, {other}");
    }
}

#[test]
fn an_error_names_the_field_and_what_is_allowed() {
    for (expression, message) in [
        (
            "60 * * * *",
            "the minute `60` is not allowed: write 0 to 59, or `*` for each",
        ),
        (
            "60 0 0 * * *",
            "the second `60` is not allowed: write 0 to 59, or `*` for each",
        ),
        (
            "0 24 * * *",
            "the hour `24` is not allowed: write 0 to 23, or `*` for each",
        ),
        (
            "0 0 0 * *",
            "the day of the month `0` is not allowed: write 1 to 31, or `*` for each",
        ),
        (
            "0 0 * janu *",
            "the month `janu` is not allowed: write 1 to 12, or `jan` to `dec`, or `*` for each",
        ),
        (
            "0 0 * * 1-8",
            "the day of the week `8` is not allowed: write 0 to 7, or `sun` to `sat`, or `*` for each",
        ),
        (
            "0 22-6 * * *",
            "the hour `22-6` ends before it begins: write two ranges, such as `22-23,0-6`",
        ),
        (
            "5/15 * * * *",
            "the minute `5/15` has a step and no range: write `5-59/15`",
        ),
        (
            "*/0 * * * *",
            "the step `0` of the minute is not allowed: write a number from 1 to 59",
        ),
        (
            "? * * * *",
            "the minute `?` is not allowed: write 0 to 59, or `*` for each; `?` is `*` to some crons and the time of \
             the start to others",
        ),
        (
            "H 3 * * *",
            "the minute `H` is not allowed: write 0 to 59, or `*` for each; for `H`, which spreads, there is `jitter`",
        ),
        (
            "0 0 */2 * mon",
            "the day of the month `*/2` beside another restricted day means two things, \"and\" to some crons and \
             \"or\" to others: write `1-31/2` for \"or\", as here",
        ),
        (
            "0 0 13 * */2",
            "the day of the week `*/2` beside another restricted day means two things, \"and\" to some crons and \
             \"or\" to others: write `0-6/2` for \"or\", as here",
        ),
        (
            "0 0 * * L",
            "the day of the week `L` is Saturday to some crons: write `6`, or `friL` for the last Friday of the month",
        ),
        (
            "0 0 * * mon#6",
            "the day of the week `mon#6` is not allowed: write `mon#1` for the first of the month, to `mon#5`",
        ),
        (
            "0 0 32W * *",
            "the day of the month `32W` is not allowed: write `1W` to `31W` for the day from Monday to Friday that is \
             nearest, or `LW` for the last one of the month",
        ),
        (
            "0 0 30 2 *",
            "`0 0 30 2 *` never comes: none of its months has such a day of the month",
        ),
        (
            "@reboot",
            "`@reboot` is no time: enqueue the task where your program starts",
        ),
        (
            "@every 5m",
            "`@every 5m` is no time of a calendar: write a step, such as `*/5 * * * *` for every five minutes",
        ),
        (
            "@fortnightly",
            "there is no `@fortnightly`: write `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, \
             `@hourly`, or five fields",
        ),
    ] {
        assert_eq!(problem(expression), message, "{expression}");
    }
    assert!(problem("0 0 0 1 1 * 2030").contains("has 7 fields, and there is none for the year"));
}

#[test]
fn other_texts_are_refused() {
    for expression in [
        "",
        "0 0 * *",
        "-1 * * * *",
        "+1 * * * *",
        "1, * * * *",
        "1- * * * *",
        "*/ * * * *",
        "*/5/5 * * * *",
        "1-2-3 * * * *",
        "*-5 * * * *",
        "0 L * * *",
        "0 0 L-3 * *",
        "0 0 W * *",
        "0 0 15W-17W * *",
        "0 0 31W 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 * * mon#",
        "0 0 * * #1",
        "0 0 * * mon-fri#1",
        "0 0 * mon *",
        "0 0 * * 1#1#1",
        "99999999999 * * * *",
        "0-99999999 * * * *",
        "1--100000000 * * * *",
        "*/99999999999999999999 * * * *",
        "٣ * * * *",
        "0 0 * * monday",
        "42m30s",
    ] {
        assert!(Expression::parse(expression).is_err(), "{expression}");
    }
    assert!(problem(&"1,".repeat(1000)).contains("write at most 1000"));
}

#[test]
fn whatever_is_written_is_read_or_refused_at_once() {
    let signs: Vec<char> = "0123456789*,-/#@?LWHmonfrijab \t\u{663}\u{1f600}"
        .chars()
        .collect();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..200_000 {
        let length = random.usize(0..24);
        let text: String = (0..length)
            .map(|_| random.choice(&signs).expect("some"))
            .collect();
        let _ = Expression::parse(&text);
    }
}

//! The calendar beside a walk from minute to minute, which knows nothing of how the calendar is made.

use super::*;

/// An expression, and the times that it says, told anew.
struct Told {
    expression: &'static str,
    says: fn(&NaiveDateTime) -> bool,
    is_fixed: bool,
}

fn weekday(shown: &NaiveDateTime) -> u32 {
    shown.weekday().num_days_from_sunday()
}

const TOLD: [Told; 16] = [
    Told {
        expression: "*/3 * * * *",
        says: |it| it.minute() % 3 == 0,
        is_fixed: false,
    },
    Told {
        expression: "0 * * * *",
        says: |it| it.minute() == 0,
        is_fixed: false,
    },
    Told {
        expression: "*/20 * * * *",
        says: |it| it.minute() % 20 == 0,
        is_fixed: false,
    },
    Told {
        expression: "30 */2 * * *",
        says: |it| it.minute() == 30 && it.hour() % 2 == 0,
        is_fixed: false,
    },
    Told {
        expression: "* 2 * * *",
        says: |it| it.hour() == 2,
        is_fixed: false,
    },
    Told {
        expression: "15 0-23/1 * * sun",
        says: |it| it.minute() == 15 && weekday(it) == 0,
        is_fixed: false,
    },
    Told {
        expression: "30 2 * * *",
        says: |it| it.minute() == 30 && it.hour() == 2,
        is_fixed: true,
    },
    Told {
        expression: "0 2 * * *",
        says: |it| it.minute() == 0 && it.hour() == 2,
        is_fixed: true,
    },
    Told {
        expression: "15,45 1-3 * * *",
        says: |it| it.minute() % 30 == 15 && (1..=3).contains(&it.hour()),
        is_fixed: true,
    },
    Told {
        expression: "0 0 * * *",
        says: |it| it.minute() == 0 && it.hour() == 0,
        is_fixed: true,
    },
    Told {
        expression: "30 0 * * 0",
        says: |it| it.minute() == 30 && it.hour() == 0 && weekday(it) == 0,
        is_fixed: true,
    },
    Told {
        expression: "0 9 13 * fri",
        says: |it| it.minute() == 0 && it.hour() == 9 && (it.day() == 13 || weekday(it) == 5),
        is_fixed: true,
    },
    Told {
        expression: "59 23 L * *",
        says: |it| {
            it.minute() == 59 && it.hour() == 23 && (it.date() + Days::new(1)).month() != it.month()
        },
        is_fixed: true,
    },
    Told {
        expression: "0 12 15W,LW * *",
        says: |it| {
            let workday = |it: NaiveDate| (1..=5).contains(&it.weekday().num_days_from_sunday());
            let date = it.date();
            // The nearest: a Friday for the Saturday behind it, a Monday for the Sunday before it.
            let of_15 = workday(date)
                && (date.day() == 15
                    || date.day() == 14 && weekday(it) == 5
                    || date.day() == 16 && weekday(it) == 1);
            let is_last = workday(date)
                && (1..=31)
                    .map(|days| date + Days::new(days))
                    .take_while(|later| later.month() == date.month())
                    .all(|later| !workday(later));
            it.minute() == 0 && it.hour() == 12 && (of_15 || is_last)
        },
        is_fixed: true,
    },
    Told {
        expression: "0 8 * * monL,wed#5",
        says: |it| {
            let of_month = it.day().div_ceil(7);
            let is_last = (it.date() + Days::new(7)).month() != it.month();
            it.minute() == 0
                && it.hour() == 8
                && (weekday(it) == 1 && is_last || weekday(it) == 3 && of_month == 5)
        },
        is_fixed: true,
    },
    Told {
        expression: "0 6 29 2 *",
        says: |it| it.minute() == 0 && it.hour() == 6 && it.day() == 29 && it.month() == 2,
        is_fixed: true,
    },
];

/// Walks from minute to minute, and looks at the clock. Returns the ticks of each.
fn walk(zone: Tz, span: &Range<DateTime<Utc>>) -> [Vec<DateTime<Utc>>; TOLD.len()] {
    let mut ticks = [const { Vec::new() }; TOLD.len()];
    let shown_at = |at: DateTime<Utc>| zone.from_utc_datetime(&at.naive_utc()).naive_local();
    // The latest that clocks have shown.
    let mut latest = shown_at(span.start - TimeDelta::minutes(1));
    let mut now = span.start;
    while now < span.end {
        let shown = shown_at(now);
        let mut new = Vec::new();
        while latest < shown {
            latest += TimeDelta::minutes(1);
            new.push(latest);
        }
        for (told, ticks) in TOLD.iter().zip(&mut ticks) {
            let ticks_now = match told.is_fixed {
                false => (told.says)(&shown),
                true => new.iter().any(told.says),
            };
            if ticks_now {
                ticks.push(now);
            }
        }
        now += TimeDelta::minutes(1);
    }
    ticks
}

#[test]
fn ticks_are_those_of_a_walk_over_the_minutes_of_two_years() {
    for (zone, year) in [
        ("Europe/Zurich", 2024),
        ("America/New_York", 2023),
        // Half an hour.
        ("Australia/Lord_Howe", 2024),
        // At midnight.
        ("America/Sao_Paulo", 2017),
        // The 30th of December 2011 was left out.
        ("Pacific/Apia", 2011),
    ] {
        let tz: Tz = zone.parse().expect("a zone");
        let start = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap();
        let span = start..Utc.with_ymd_and_hms(year + 2, 1, 1, 0, 0, 0).unwrap();
        for (told, walked) in TOLD.iter().zip(walk(tz, &span)) {
            let calendar = Calendar::parse(told.expression, zone).expect("it can be read");
            assert_eq!(calendar.expression.is_fixed, told.is_fixed);
            let found: Vec<_> = calendar.ticks(span.clone()).collect();
            let differs = found.iter().zip(&walked).find(|(one, other)| one != other);
            assert_eq!(differs, None, "{} in {zone}", told.expression);
            assert_eq!(found.len(), walked.len(), "{} in {zone}", told.expression);
        }
    }
}

#[test]
fn the_next_tick_does_not_depend_on_where_one_asks_from() {
    for zone in ["Europe/Zurich", "Australia/Lord_Howe", "America/Sao_Paulo"] {
        for told in &TOLD[1..] {
            let calendar = Calendar::parse(told.expression, zone).expect("it can be read");
            // Over both changes.
            let start = Utc.with_ymd_and_hms(2017, 9, 1, 0, 0, 0).unwrap();
            let ticks: Vec<_> = calendar
                .ticks(start..start + TimeDelta::days(270))
                .collect();
            let mut random = fastrand::Rng::with_seed(7);
            for _ in 0..300 {
                let asked = start + TimeDelta::milliseconds(random.i64(0..260 * 86_400_000));
                let expected = ticks.iter().find(|tick| **tick > asked);
                if let Some(expected) = expected {
                    assert_eq!(calendar.next_after(asked), Some(*expected), "{asked}");
                }
            }
        }
    }
}

fn shown(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let calendar = Calendar::parse(expression, zone).expect("it can be read");
    let from = DateTime::parse_from_rfc3339(from).expect("a time").to_utc();
    let ticks = std::iter::successors(calendar.next_after(from), |last| calendar.next_after(*last));
    let show = |tick: DateTime<Utc>| tick.with_timezone(&calendar.zone).format("%d %H:%M:%S%:z");
    ticks
        .take(count)
        .map(|tick| show(tick).to_string())
        .collect()
}

#[test]
fn a_time_that_clocks_leave_out_comes_at_the_end_of_the_gap() {
    assert_eq!(
        shown("30 2 * * *", "Europe/Zurich", "2026-03-28T12:00:00Z", 2),
        ["29 03:00:00+02:00", "30 02:30:00+02:00"]
    );
    // One of the two is enough, and one that comes then anyway.
    assert_eq!(
        shown("0,30 2,3 * * *", "Europe/Zurich", "2026-03-28T12:00:00Z", 3),
        [
            "29 03:00:00+02:00",
            "29 03:30:00+02:00",
            "30 02:00:00+02:00"
        ]
    );
    assert_eq!(
        shown("0 9 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3),
        [
            "29 09:00:00-10:00",
            "31 00:00:00+14:00",
            "31 09:00:00+14:00"
        ]
    );
}

#[test]
fn a_time_that_clocks_show_twice_comes_the_first_time() {
    assert_eq!(
        shown("30 2 * * *", "Europe/Zurich", "2026-10-24T12:00:00Z", 2),
        ["25 02:30:00+02:00", "26 02:30:00+01:00"]
    );
    // Asked in between, and in the second hour.
    for asked in ["2026-10-25T00:31:00Z", "2026-10-25T01:10:00Z"] {
        let next = shown("30 2 * * *", "Europe/Zurich", asked, 1);
        assert_eq!(next, ["26 02:30:00+01:00"]);
    }
}

#[test]
fn an_hourly_tick_comes_in_each_hour_that_passes() {
    assert_eq!(
        shown("0 * * * *", "Europe/Zurich", "2026-10-24T23:30:00Z", 3),
        [
            "25 02:00:00+02:00",
            "25 02:00:00+01:00",
            "25 03:00:00+01:00"
        ]
    );
    assert_eq!(
        shown("0 * * * *", "Europe/Zurich", "2026-03-28T23:30:00Z", 3),
        [
            "29 01:00:00+01:00",
            "29 03:00:00+02:00",
            "29 04:00:00+02:00"
        ]
    );
    assert_eq!(
        shown(
            "*/20 * * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:59:50Z",
            2
        ),
        ["05 01:30:00+10:30", "05 01:30:20+10:30"],
        "the half hour comes again"
    );
}

#[test]
fn a_day_that_is_far_is_found() {
    assert_eq!(
        shown("0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", 1),
        ["29 00:00:00+00:00"]
    );
    let calendar = Calendar::parse("0 0 * 2 mon#5", "UTC").expect("it can be read");
    let from = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
    let next = calendar.next_after(from).expect("there is one");
    assert_eq!(next, Utc.with_ymd_and_hms(2044, 2, 29, 0, 0, 0).unwrap());
}

#[test]
fn an_unknown_zone_is_named_with_the_one_that_was_meant() {
    let said = |zone| {
        Calendar::parse("* * * * *", zone)
            .expect_err("unknown")
            .to_string()
    };
    assert_eq!(
        said("Europe/Zurihc"),
        "this program knows no time zone `Europe/Zurihc`: did you mean `Europe/Zurich`?"
    );
    assert!(said("europe/zurich").contains("did you mean `Europe/Zurich`?"));
    assert!(said("+02:00").contains("write its name in the tz database"));
}

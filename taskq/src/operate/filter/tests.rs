use fastrand::Rng;
use serde_json::json;

use super::age::Age;
use super::parse::STATES;
use super::*;

fn parsed(text: &str) -> Filter {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match text.parse::<Filter>() {
        Ok(filter) => panic!("{text}: {filter:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_term_is_what_the_database_takes() {
    for (text, filter) in [
        ("", json!({})),
        ("state:dead,running", json!({"state": ["dead", "running"]})),
        (
            r#"type:send_card,send_*,a\*b"#,
            json!({"type": ["send_card", "a*b"], "type_like": ["send\\_%"]}),
        ),
        (r#"queue:"my mail""#, json!({"queue": ["my mail"]})),
        (r#"queue:100%*"#, json!({"queue_like": ["100\\%%"]})),
        (
            r#"payload.to.0."a.b":42,"" payload.usr_id:1"#,
            json!({"payload": [
                {"path": ["to", "0", "a.b"], "values": ["42", ""]},
                {"path": ["usr_id"], "values": ["1"]},
            ]}),
        ),
        (
            r#"error:"say \"no\" \\ C:\dir""#,
            json!({"error": ["say \"no\" \\ C:\\dir"]}),
        ),
        ("error:http://x:80/", json!({"error": ["http://x:80/"]})),
        (
            "older:2h newer:1w",
            json!({"older": 7200, "newer": 604_800}),
        ),
        (
            "cause:0123456789abcdef id:7,8 group:5",
            json!({"cause": ["0123456789abcdef"], "id": [7, 8], "group": [5]}),
        ),
    ] {
        assert_eq!(parsed(text).to_json(), filter, "{text}");
    }
}

#[test]
fn an_error_names_the_word_its_place_and_what_would_do() {
    for (text, says) in [
        (
            "queue:mail  stat:dead older:1h",
            "`stat:dead` (character 13 of the filter): there is no term `stat`; did you mean `state`? the terms are ",
        ),
        (
            "state:ded",
            "there is no state `ded`; did you mean `dead`? the states are waiting, due",
        ),
        (
            "über timeout",
            "`über` (character 1 of the filter): say what it is of, as in error:timeout",
        ),
        ("üü older:1x", "`üü`"),
        (
            "error:ü older:1x",
            "`older:1x` (character 9 of the filter): `1x` is no age: write a number with",
        ),
        ("older:9999999w", "at most 100 years"),
        ("older:1h,2h", "an age has one value"),
        ("older:+1h", "`+1h` is no age"),
        ("queue:", "a value is missing"),
        ("queue:a,", "a value is missing"),
        ("queue:\"\"", "an empty value matches nothing"),
        (
            "error:\"timed out",
            "`error:\"timed out` (character 1 of the filter): its quote does not end",
        ),
        ("error:\"timed\"out", "a quote stands around a whole value"),
        ("error:timed\"out\"", "a quote stands around a whole value"),
        ("payload:42", "say which field, as in payload.usr_id:42"),
        ("queue.name:42", "only payload has fields"),
        ("queue:a queue:b", "it is there twice"),
        ("payload.a:1 payload.a:2", "it is there twice"),
        ("id:-1", "`-1` is no id"),
        ("id:9999999999999999999", "is no id"),
        ("cause:x", "`x` is no cause: `causes` lists them"),
        ("error:a\0b", "zero character"),
        (":42", "there is no term ``"),
    ] {
        let error = refused(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    let long = format!("error:{}", "a".repeat(2_000));
    assert!(refused(&long).contains("it has 2006 bytes, and a filter at most 2000"));
    let many = format!("id:{}", vec!["1"; 101].join(","));
    assert!(refused(&many).contains("at most 100 values"));
    let deep = format!("payload{}:1", ".a".repeat(17));
    assert!(refused(&deep).contains("at most 16 deep"));
}

/// Returns a text of signs that mean something, and of some that do not.
fn text(rng: &mut Rng) -> String {
    const SIGNS: [char; 16] = [
        'a', 'B', '7', '_', '*', '\\', '"', ',', '.', ':', ' ', '\t', '%', 'ü', '\'', '\u{2028}',
    ];
    (0..rng.usize(1..9))
        .map(|_| SIGNS[rng.usize(..SIGNS.len())])
        .collect()
}

fn texts(rng: &mut Rng) -> Vec<String> {
    (0..rng.usize(1..4)).map(|_| text(rng)).collect()
}

fn term(rng: &mut Rng, kind: usize) -> Term {
    let patterns = |rng: &mut Rng| texts(rng).into_iter().map(Pattern).collect();
    let age = |rng: &mut Rng| Age::read(&format!("{}s", rng.u64(..9_000_000))).expect("an age");
    match kind {
        0 => Term::State(vec![STATES[rng.usize(..STATES.len())].to_owned()]),
        1 => Term::Type(patterns(rng)),
        2 => Term::Queue(patterns(rng)),
        3 => Term::Payload {
            path: texts(rng),
            values: [texts(rng), vec![String::new()]].concat(),
        },
        4 => Term::Error(texts(rng)),
        5 => Term::Older(age(rng)),
        6 => Term::Newer(age(rng)),
        7 => Term::Cause(vec![format!("{:016x}", rng.u64(..))]),
        _ => Term::Id(vec![rng.i64(0..i64::pow(10, 17))]),
    }
}

#[test]
fn a_filter_that_is_written_is_read_as_the_same() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for _ in 0..20_000 {
        let mut kinds: Vec<usize> = (0..9).collect();
        rng.shuffle(&mut kinds);
        kinds.truncate(rng.usize(..10));
        let terms = kinds.into_iter().map(|kind| term(&mut rng, kind)).collect();
        let filter = Filter { terms };
        let written = filter.to_string();
        let read = written.parse::<Filter>();
        assert_eq!(read.as_ref(), Ok(&filter), "seed {seed}: {written}");
    }
}

#[test]
fn no_text_at_all_makes_it_panic() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for _ in 0..20_000 {
        let noise = texts(&mut rng).join(":");
        if let Ok(filter) = noise.parse::<Filter>() {
            let again = filter.to_string().parse::<Filter>();
            assert_eq!(again.as_ref(), Ok(&filter), "seed {seed}: {noise}");
        }
    }
}

#[test]
fn an_age_is_written_in_its_largest_unit() {
    for (age, written) in [
        ("60s", "1m"),
        ("90s", "90s"),
        ("48h", "2d"),
        ("0h", "0s"),
        ("14d", "2w"),
    ] {
        assert_eq!(
            parsed(&format!("older:{age}")).to_string(),
            format!("older:{written}")
        );
    }
}

//! `taskq::json::decode` reads an object field by field with code of its own: the same value as serde_json reads,
//! or the same refusal.

#![expect(dead_code, reason = "what is read is shown")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;

use fastrand::Rng;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use taskq::json::{self, RawValue};
use taskq_payloads::seeded;

#[derive(Debug, Deserialize)]
struct Order {
    #[serde(rename = "no", alias = "number")]
    id: u64,
    #[serde(default)]
    note: Option<String>,
    lines: Vec<Line>,
    ratio: f64,
    #[serde(default = "seven")]
    seven: i128,
    state: State,
    #[serde(skip)]
    skipped: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    count: Count,
    #[serde(rename = "tag\n\"")]
    tag: Option<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "t")]
enum Tag {
    Unit,
    Struct { count: u8 },
}

#[derive(Debug, Deserialize)]
enum State {
    Open,
    Closed(u8),
    Left { at: (u8, char) },
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "i64")]
struct Count(i64);

impl TryFrom<i64> for Count {
    type Error = &'static str;

    fn try_from(count: i64) -> Result<Self, &'static str> {
        (count > 0).then_some(Self(count)).ok_or("none is too few")
    }
}

#[derive(Debug, Deserialize)]
struct Flat {
    no: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Defaults {
    no: i8,
    note: String,
}

#[derive(Debug, Deserialize)]
struct Unit;

fn seven() -> i128 {
    7
}

/// Writes JSON that often fits.
struct Text<'a> {
    rng: &'a mut Rng,
    text: String,
}

impl Text<'_> {
    fn one_of(&mut self, texts: &[&str]) {
        let text = texts[self.rng.usize(..texts.len())];
        self.text.push_str(text);
    }

    fn space(&mut self) {
        if self.rng.u8(..8) == 0 {
            self.one_of(&[" ", "\n", "\t\r ", "  "]);
        }
    }

    fn name(&mut self) {
        self.one_of(&[
            r#""no""#,
            r#""n\u006f""#,
            r#""number""#,
            r#""note""#,
            r#""lines""#,
            r#""ratio""#,
            r#""seven""#,
            r#""state""#,
            r#""count""#,
            r#""tag\n\"""#,
            r#""tag\u000a\u0022""#,
            r#""t""#,
            r#""skipped""#,
            r#""é""#,
            r#""\ud83e\udd80""#,
        ]);
    }

    fn leaf(&mut self) {
        self.one_of(&[
            "null",
            "true",
            "false",
            "0",
            "-0",
            "7",
            "-1",
            "255",
            "256",
            "1.5",
            "-0.0",
            "1e3",
            "1e400",
            "18446744073709551615",
            "18446744073709551616",
            "-170141183460469231731687303715884105728",
            "0.30000000000000004",
            "123456789012345680.0",
            "5e-324",
            "\"\"",
            "\"x\"",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "\"é\\n\"",
            "\"Open\"",
            "\"Unit\"",
            "{}",
            "[]",
        ]);
    }

    fn value(&mut self, depth: usize) {
        self.space();
        match self.rng.u8(..10) {
            _ if depth == 0 => self.leaf(),
            0..3 => self.leaf(),
            3 => self.list(depth, '[', ']', |text, depth| text.value(depth)),
            4 => self.object(depth),
            5 => self.one_of(&[
                r#"{"Closed":3}"#,
                r#"{"Left":{"at":[1,"x"]}}"#,
                r#"{"Open":null}"#,
                r#"{"Left":{"at":[1]}}"#,
            ]),
            6 => self.one_of(&[
                r#"{"t":"Unit"}"#,
                r#"{"count":1,"t":"Struct"}"#,
                r#"{"t":"Struct"}"#,
                r#"{"t":1}"#,
            ]),
            7 => self.one_of(&[
                r#"[{"count":1}]"#,
                r#"[{"count":0}]"#,
                r#"[{"count":2,"tag\n\"":{"t":"Unit"}}]"#,
                r#"[{"count":1,"x":1}]"#,
                r#"[{"count":1},{}]"#,
            ]),
            _ => self.leaf(),
        }
        self.space();
    }

    fn list(&mut self, depth: usize, open: char, close: char, item: fn(&mut Self, usize)) {
        self.text.push(open);
        for at in 0..self.rng.usize(..4) {
            if at > 0 {
                self.text.push(',');
            }
            item(self, depth - 1);
        }
        self.text.push(close);
    }

    fn object(&mut self, depth: usize) {
        self.list(depth, '{', '}', |text, depth| {
            text.space();
            text.name();
            text.space();
            text.text.push(':');
            text.value(depth);
        });
    }

    /// An object in which little is wrong.
    fn nearly(&mut self, mut fields: Vec<[&str; 2]>) {
        self.rng.shuffle(&mut fields);
        self.text.push('{');
        for (at, [name, value]) in fields.into_iter().enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            if self.rng.u8(..12) == 0 {
                self.name();
                self.text.push(':');
                self.value(2);
                self.text.push(',');
            }
            self.text.push_str(name);
            self.space();
            self.text.push(':');
            match self.rng.u8(..8) {
                0 => self.value(3),
                _ => self.text.push_str(value),
            }
        }
        self.text.push('}');
    }
}

/// Reads a text in both ways.
fn compare<T: DeserializeOwned + Debug>(raw: &RawValue) -> bool {
    let text = raw.get();
    let ours = json::decode::<T>(raw).map_err(|error| {
        let problem = error.source().map(ToString::to_string);
        (error.path().to_owned(), problem.unwrap_or_default())
    });
    let mut reader = serde_json::Deserializer::from_str(text);
    let theirs = serde_path_to_error::deserialize::<_, T>(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        let end = problem.rfind(" at line ").unwrap_or(problem.len());
        (path, problem[..end].to_owned())
    });
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{text}"),
        // It does not know where it is when an integer ends before its text does.
        (Err(_), Err((path, _))) if path == "?" => {}
        (Err(ours), Err(theirs)) => assert_eq!(ours, theirs, "{text}"),
        (ours, theirs) => panic!("{text}: {ours:?}, and serde_json: {theirs:?}"),
    }
    ours.is_ok()
}

#[test]
fn an_object_is_read_as_serde_json_reads_it() {
    let mut rng = seeded();
    let mut read = [0; 4];
    let mut tried = 0;
    for round in 0..15_000 {
        let mut text = Text {
            rng: &mut rng,
            text: String::new(),
        };
        match round % 3 {
            0 => text.nearly(vec![
                [r#""no""#, "1"],
                [r#""lines""#, r#"[{"count":1}]"#],
                [r#""ratio""#, "0.1"],
                [r#""state""#, r#""Open""#],
            ]),
            1 => text.nearly(vec![[r#""count""#, "1"], [r#""tag\n\"""#, "null"]]),
            _ => text.object(3),
        }
        let text = text.text;
        // A payload is JSON: Postgres says so.
        let Ok(raw) = RawValue::from_string(text) else {
            continue;
        };
        tried += 1;
        read[0] += usize::from(compare::<Order>(&raw));
        read[1] += usize::from(compare::<Flat>(&raw));
        read[2] += usize::from(compare::<Defaults>(&raw));
        read[3] += usize::from(compare::<Line>(&raw));
        compare::<Unit>(&raw);
        compare::<State>(&raw);
        compare::<Tag>(&raw);
        compare::<serde_json::Value>(&raw);
    }
    // The texts fit often enough, and not always.
    for read in read {
        assert!((50..tried - 50).contains(&read), "{read} of {tried}");
    }
}

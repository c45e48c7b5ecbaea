//! A handler may take many arguments of many kinds.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use std::collections::HashMap;
use std::sync::Arc;

type Many = Vec<(String, Option<[u8; 2]>)>;

/// Takes everything.
#[taskq::task(queue = "wide", derive(Clone, Debug, PartialEq))]
pub async fn wide(
    a: i8,
    tx: &mut sqlx::PgConnection,
    b: u64,
    state: &str_state::Config,
    c: bool,
    d: Vec<u8>,
    e: Option<String>,
    attempt: &taskq::Attempt,
    f: HashMap<String, i64>,
    g: (i64, String),
    #[inject] shared: Arc<u16>,
    h: [u8; 1 + 1],
    i: Many,
    j: std::borrow::Cow<'static, str>,
    k: std::result::Result<i64, String>,
) -> Result<(), String> {
    let _ = (a, tx, b, state, c, d, e, attempt, f, g, shared, h, i, j, k);
    Ok(())
}

mod str_state {
    pub struct Config;
}

fn main() {
    let payload = Wide {
        a: 1,
        b: 2,
        c: true,
        d: vec![],
        e: None,
        f: HashMap::new(),
        g: (3, String::new()),
        h: [4, 5],
        i: vec![],
        j: "six".into(),
        k: Ok(7),
    };
    let json = serde_json::to_string(&payload).unwrap();
    assert_eq!(serde_json::from_str::<Wide>(&json).unwrap(), payload);
}

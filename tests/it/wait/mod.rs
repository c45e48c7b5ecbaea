//! Waiting for what a handler returns: what comes back, how it is heard of, and what many who wait cost.

mod ended;
mod heard;
mod many;
mod processes;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use taskq::{Attempt, outcome, task};

/// Long enough for anything that goes well.
const LONG: Duration = Duration::from_secs(25);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Size {
    width: u32,
    note: Option<String>,
}

/// Returns the width, or ends in another way.
#[task(result = "keep", unique(until = "done"))]
async fn resize(attempt: &Attempt, width: u32, end: String) -> anyhow::Result<Size> {
    match end.as_str() {
        "fail" => anyhow::bail!("no such image"),
        "cancel" => Err(outcome::cancel("nobody looks at it"))?,
        "snooze" => attempt.snooze(Duration::from_secs(60)),
        _ => {}
    }
    Ok(Size {
        width,
        note: Some(end),
    })
}

fn size(width: u32) -> Size {
    Size {
        width,
        note: Some(String::new()),
    }
}

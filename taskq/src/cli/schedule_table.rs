//! The list of schedules, as a table that fits eighty columns.
//!
//! A schedule has one line, with what all have. What only some have (a pause, an error) stands below it, indented.

use std::fmt::Write as _;

use chrono::SecondsFormat;

use crate::operate::schedule_status::ScheduleStatus;

/// A name that is longer has a line for itself, so that one does not spread the table.
const WIDEST_NAME: usize = 24;

/// How wide `NEXT` is: a time to the second.
const TIME: usize = 20;

/// Returns the table, with a line at its head.
pub(crate) fn of(schedules: &[ScheduleStatus]) -> String {
    let widths = schedules.iter().map(|schedule| width(&schedule.name));
    let widest = widths.filter(|width| *width <= WIDEST_NAME).max();
    let widest = widest.unwrap_or(0).max("NAME".len());
    let mut text = line(widest, "NAME", "NEXT", "WHEN");
    for schedule in schedules {
        let next = match (&schedule.next_tick, &schedule.pause) {
            _ if schedule.error.is_some() => "does not tick".to_owned(),
            (_, Some(_)) => "paused".to_owned(),
            _ if !schedule.is_alive => "rests".to_owned(),
            (Some(next), None) => next.to_rfc3339_opts(SecondsFormat::Secs, true),
            (None, None) => "-".to_owned(),
        };
        let name = if width(&schedule.name) > widest {
            let _ = writeln!(text, "{}", schedule.name);
            ""
        } else {
            &schedule.name
        };
        let when = format!("{} {}", schedule.expression, schedule.timezone);
        text.push_str(&line(widest, name, &next, &when));
        for detail in schedule.details() {
            let _ = writeln!(text, "  {detail}");
        }
    }
    text
}

fn line(widest: usize, name: &str, next: &str, when: &str) -> String {
    format!("{name:widest$}  {next:TIME$}  {when}\n")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::value::RawValue;

    use super::*;
    use crate::calendar::{CatchUp, Overlap};

    fn schedule(name: &str, expression: &str, task_type: &str) -> ScheduleStatus {
        let next: DateTime<Utc> = "2026-03-02T05:00:00Z".parse().expect("a time");
        ScheduleStatus {
            name: name.to_owned(),
            expression: expression.to_owned(),
            timezone: "Europe/Zurich".to_owned(),
            task_type: task_type.to_owned(),
            payload: RawValue::NULL.to_owned(),
            catch_up: CatchUp::Once,
            catch_up_within: None,
            overlap: Overlap::Allow,
            jitter: std::time::Duration::ZERO,
            made_by: None,
            reason: None,
            declares: None,
            is_alive: true,
            pause: None,
            next_tick: Some(next),
            last_tick: None,
            last_task_ids: Vec::new(),
            ticks: 0,
            ran_at: None,
            ran_task_id: None,
            skipped_missed: 0,
            skipped_overlap: 0,
            skips: Vec::new(),
            error: None,
        }
    }

    #[test]
    fn columns_stand_below_each_other_whatever_is_long() {
        let long = "the_report_of_a_customer_with_a_long_name";
        let mut broken = schedule("broken", "whenever", "report");
        broken.error = Some("`whenever` has 1 field".to_owned());
        broken.next_tick = None;
        let mut said = schedule("weekly", "0 6 * * MON", "report");
        (said.made_by, said.ticks, said.skipped_missed) = (Some("ada".to_owned()), 31, 2);
        said.last_tick = said.next_tick;
        let skip = r#"{"why": "missed", "number": 2, "from": "2026-03-01T05:00:00Z", "to": "2026-03-02T04:00:00Z", "task_id": null}"#;
        said.skips = vec![serde_json::from_str(skip).expect("a skip")];
        let table = of(&[
            broken,
            schedule("nightly", "0 2 * * *", "nightly"),
            schedule(long, "0 6 1 */3 *", long),
            said,
        ]);
        assert_eq!(
            table,
            "\
NAME     NEXT                  WHEN
broken   does not tick         whenever Europe/Zurich
  enqueues report
  `whenever` has 1 field
nightly  2026-03-02T05:00:00Z  0 2 * * * Europe/Zurich
the_report_of_a_customer_with_a_long_name
         2026-03-02T05:00:00Z  0 6 1 */3 * Europe/Zurich
weekly   2026-03-02T05:00:00Z  0 6 * * MON Europe/Zurich
  enqueues report; 31 ticks, 2 missed, last 2026-03-02T05:00:00Z; said by ada
  2 ticks left out until 2026-03-02T04:00:00Z: no worker was there
"
        );
        assert!(
            table.lines().all(|line| line.chars().count() <= 80),
            "{table}"
        );
    }
}

//! Whether each tick of a schedule enqueued its task once.

use std::collections::BTreeMap;

use super::tables::{Tables, Ticks};
use super::violation::Violation;

/// Finds ticks that were taken twice or not at all.
pub(super) fn judge(tables: &Tables) -> Vec<Violation> {
    let schedules = tables.ticks.iter();
    schedules
        .flat_map(|(schedule, ticks)| wrong(schedule, ticks))
        .collect()
}

fn wrong(schedule: &str, ticks: &Ticks) -> Vec<Violation> {
    let mut times = BTreeMap::<i64, usize>::new();
    for at in &ticks.taken {
        *times.entry(*at).or_default() += 1;
    }
    let (Some(first), Some(last)) = (times.keys().next().copied(), ticks.last) else {
        return Vec::new();
    };
    let mut expected = first;
    while expected <= last {
        times.entry(expected).or_default();
        expected += ticks.period;
    }
    let is_right = |at: i64, times| times == 1 && at <= last && (at - first) % ticks.period == 0;
    let wrong = times
        .into_iter()
        .filter(|(at, times)| !is_right(*at, *times));
    wrong
        .map(|(at, times)| Violation::Tick {
            schedule: schedule.to_owned(),
            at,
            times,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(taken: &[i64]) -> Vec<(i64, usize)> {
        let ticks = Ticks {
            period: 2,
            taken: taken.to_vec(),
            last: Some(108),
        };
        let tables = Tables {
            ticks: [("a".to_owned(), ticks)].into(),
            ..Tables::default()
        };
        let found = judge(&tables).into_iter().map(|violation| match violation {
            Violation::Tick { at, times, .. } => (at, times),
            other => panic!("{other}"),
        });
        found.collect()
    }

    #[test]
    fn each_tick_is_taken_once() {
        assert_eq!(found(&[104, 106, 108]), []);
        assert_eq!(found(&[]), []);
        assert_eq!(found(&[102, 104, 108]), [(106, 0)]);
        assert_eq!(found(&[104, 106]), [(108, 0)]);
        assert_eq!(found(&[104, 104, 106, 108]), [(104, 2)]);
        assert_eq!(found(&[104, 105, 106, 108, 110]), [(105, 1), (110, 1)]);
    }
}

//! Histories with one thing wrong in each.

use super::examples::{MARGIN, at, ended};
use super::*;
use crate::history::{Batch, Event, How, Plan};
use std::collections::{HashMap, HashSet};

const ONCE: Plan = Plan {
    once: true,
    failures: 0,
    max_attempts: 3,
};

fn intended(plan: Plan) -> Event {
    Event::Intended(Batch {
        first: 7,
        count: 1,
        plan,
    })
}

fn started(run: u64, attempt: u16) -> Event {
    Event::Started {
        run,
        n: 7,
        task_id: 70,
        attempt,
        task_type: "once".to_owned(),
        queue: "default".to_owned(),
    }
}

/// A task that was enqueued, ran, and left its effect.
fn good() -> (Vec<Process>, Tables) {
    let client = vec![at(0, intended(ONCE)), at(1, Event::Committed { first: 7 })];
    let worker = vec![at(2, started(0, 1)), at(9, ended(0, How::Succeeded))];
    let tables = Tables {
        effects: HashMap::from([(7, 1)]),
        committed: HashSet::from([7]),
        ..Tables::default()
    };
    (vec![client, worker], tables)
}

fn found(processes: &[Process], tables: &Tables) -> Vec<Violation> {
    verify(processes, tables, MARGIN).err().unwrap_or_default()
}

#[test]
fn a_task_that_ran_once_is_in_order() {
    let (processes, tables) = good();
    let summary = verify(&processes, &tables, MARGIN).expect("in order");
    assert_eq!((summary.committed, summary.attempts), (1, 1));
}

#[test]
fn a_committed_task_that_never_ran_is_lost() {
    let (mut processes, mut tables) = good();
    processes.pop();
    tables.effects.clear();
    assert_eq!(found(&processes, &tables), [Violation::Lost(7)]);
}

#[test]
fn a_task_whose_only_attempt_failed_and_that_is_gone_is_lost() {
    let (mut processes, mut tables) = good();
    processes[1][1] = at(9, ended(0, How::Failed));
    tables.effects.clear();
    assert_eq!(found(&processes, &tables), [Violation::Lost(7)]);
}

#[test]
fn a_task_that_still_waits_is_not_over() {
    let (mut processes, mut tables) = good();
    processes.pop();
    tables.effects.clear();
    tables.left.insert(7);
    assert_eq!(found(&processes, &tables), [Violation::Left(7)]);
}

#[test]
fn a_task_that_was_rolled_back_must_not_run() {
    let (mut processes, mut tables) = good();
    processes[0][1] = at(1, Event::RolledBack { first: 7 });
    tables.committed.clear();
    tables.effects.clear();
    assert_eq!(found(&processes, &tables), [Violation::Uncommitted(7)]);
}

#[test]
fn a_task_of_a_transaction_in_doubt_runs_if_it_was_committed_and_not_if_it_was_not() {
    let (mut processes, mut tables) = good();
    processes[0].pop();
    assert_eq!(found(&processes, &tables), []);
    tables.committed.clear();
    assert_eq!(found(&processes, &tables), [Violation::Uncommitted(7)]);
}

#[test]
fn a_task_that_nobody_enqueued_must_not_run() {
    let (mut processes, mut tables) = good();
    processes.remove(0);
    tables.committed.clear();
    assert_eq!(found(&processes, &tables), [Violation::Uncommitted(7)]);
}

#[test]
fn a_commit_that_was_reported_and_is_gone_is_misreported() {
    let (mut processes, mut tables) = good();
    processes.pop();
    tables.effects.clear();
    tables.committed.clear();
    assert_eq!(found(&processes, &tables), [Violation::Misreported(7)]);
}

#[test]
fn an_effect_must_not_happen_twice() {
    let (processes, mut tables) = good();
    tables.effects.insert(7, 2);
    assert_eq!(
        found(&processes, &tables),
        [Violation::Effects {
            n: 7,
            planned: 1,
            found: 2
        }]
    );
}

#[test]
fn an_effect_must_not_be_missing() {
    let (processes, mut tables) = good();
    tables.effects.clear();
    assert_eq!(found(&processes, &tables), [Violation::Lost(7)]);
}

#[test]
fn a_task_that_postgres_has_refused_until_no_attempt_was_left_may_be_discarded() {
    let (mut processes, mut tables) = good();
    processes[1] = vec![
        at(2, started(0, 1)),
        at(3, ended(0, How::Refused)),
        at(4, started(1, 2)),
        at(5, ended(1, How::Refused)),
        at(6, started(2, 3)),
        at(7, ended(2, How::Refused)),
    ];
    tables.effects.clear();
    tables.discarded.insert(7, 3);
    assert_eq!(found(&processes, &tables), []);
    processes[1][3] = at(5, ended(1, How::Failed));
    assert!(found(&processes, &tables).contains(&Violation::Discarded { n: 7, attempts: 3 }));
}

#[test]
fn a_task_that_fails_for_good_leaves_no_effect_and_all_its_attempts() {
    let (mut processes, mut tables) = good();
    let plan = Plan {
        failures: 2,
        max_attempts: 2,
        ..ONCE
    };
    processes[0][0] = at(0, intended(plan));
    processes[1] = vec![
        at(2, started(0, 1)),
        at(9, ended(0, How::Failed)),
        at(10, started(1, 2)),
        at(19, ended(1, How::Failed)),
    ];
    tables.effects.clear();
    tables.discarded.insert(7, 2);
    assert_eq!(found(&processes, &tables), []);
    tables.discarded.insert(7, 1);
    assert!(matches!(
        found(&processes, &tables)[..],
        [Violation::Discarded { .. }]
    ));
    tables.discarded.insert(7, 2);
    tables.effects.insert(7, 1);
    assert!(matches!(
        found(&processes, &tables)[..],
        [Violation::Effects { .. }]
    ));
}

#[test]
fn attempts_must_not_exceed_their_maximum() {
    let (mut processes, tables) = good();
    processes[1][0] = at(2, started(0, 4));
    assert_eq!(
        found(&processes, &tables),
        [Violation::TooManyAttempts { n: 7, attempt: 4 }]
    );
}

#[test]
fn a_task_must_not_be_charged_for_what_its_handler_did_not_do() {
    let (mut processes, mut tables) = good();
    processes[1][0] = at(2, started(0, 2));
    assert_eq!(
        found(&processes, &tables),
        [Violation::Charged {
            n: 7,
            attempt: 2,
            failures: 0
        }]
    );
    let by_itself = [at(0, started(1, 1)), at(1, ended(1, How::Refused))];
    processes.push(by_itself.to_vec());
    assert_eq!(found(&processes, &tables), []);
    processes.pop();
    processes.push(vec![at(0, Event::HookRefused { n: 7 })]);
    assert_eq!(found(&processes, &tables), []);
    processes.pop();
    let fails_once = Plan {
        failures: 1,
        ..ONCE
    };
    processes[0][0] = at(0, intended(fails_once));
    tables.effects.insert(7, 1);
    assert_eq!(found(&processes, &tables), []);
}

#[test]
fn an_attempt_must_not_see_what_another_has_left_on_its_session() {
    let (mut processes, tables) = good();
    let what = "role".to_owned();
    processes[1].push(at(
        3,
        Event::Trace {
            n: 7,
            what: what.clone(),
        },
    ));
    assert_eq!(
        found(&processes, &tables),
        [Violation::Trace { n: 7, what }]
    );
}

#[test]
fn a_task_that_was_refused_must_be_taken_back() {
    let (mut processes, mut tables) = good();
    processes.pop();
    tables.effects.clear();
    tables.refused.insert(7);
    assert_eq!(found(&processes, &tables), [Violation::Refused(7)]);
    // And one that was rolled back is not there either.
    processes[0][1] = at(1, Event::RolledBack { first: 7 });
    tables.committed.clear();
    assert_eq!(found(&processes, &tables), [Violation::Uncommitted(7)]);
}

/// Two processes that work on the same task at once, from 2 to 2,000 and from 1,000 to 1,500.
fn doubled() -> (Vec<Process>, Tables) {
    let (mut processes, tables) = good();
    processes[1] = vec![at(2, started(0, 1)), at(2_000, ended(0, How::Dropped))];
    processes.push(vec![
        at(1_000, started(0, 1)),
        at(1_500, ended(0, How::Succeeded)),
    ]);
    (processes, tables)
}

#[test]
fn two_attempts_of_one_task_must_not_be_live_at_once() {
    let (processes, tables) = doubled();
    assert_eq!(
        found(&processes, &tables),
        [Violation::LiveTwice {
            n: 7,
            overlap: Duration::from_millis(500)
        }]
    );
}

#[test]
fn a_process_that_did_not_run_is_excused() {
    let (mut processes, tables) = doubled();
    let stall = Event::Stalled {
        since: Duration::from_millis(10_100),
    };
    processes[1].insert(1, at(1_990, stall.clone()));
    assert_eq!(found(&processes, &tables), []);
    // For a moment only, which a lease has room for.
    processes[1][1] = at(120, stall);
    assert!(!found(&processes, &tables).is_empty());
}

#[test]
fn an_attempt_of_a_killed_process_ends_with_what_was_last_heard_of_it() {
    let (mut processes, tables) = doubled();
    let alive = Event::Fault("any sign of life".to_owned());
    processes[1] = vec![at(2, started(0, 1)), at(1_200, alive)];
    assert_eq!(found(&processes, &tables).len(), 1, "it was alive");
    processes[1].pop();
    assert_eq!(found(&processes, &tables), []);
}

#[test]
fn a_claim_that_a_killed_server_forgot_is_excused() {
    let (mut processes, tables) = doubled();
    processes[0].push(at(100, Event::ServerKilled));
    assert_eq!(found(&processes, &tables), []);
    // Long before the crash it was safe on disk.
    processes[1][0] = at(0, started(0, 1));
    processes[0][2] = at(5_000, Event::ServerKilled);
    assert!(!found(&processes, &tables).is_empty());
}

#[test]
fn a_task_is_quarantined_only_if_its_workers_may_have_vanished_often_enough() {
    let (mut processes, mut tables) = good();
    processes[1].pop();
    tables.effects.clear();
    tables.quarantined.insert(7);
    assert_eq!(found(&processes, &tables), [Violation::Quarantined(7)]);
    let troubles = (0..5).map(|ms| at(10 + ms, Event::Trouble("a constraint".to_owned())));
    processes[0].extend(troubles);
    assert_eq!(found(&processes, &tables), [Violation::Quarantined(7)]);
    let faults = (0..5).map(|ms| at(10 + ms, Event::Fault("kill".to_owned())));
    processes[0].extend(faults);
    assert_eq!(found(&processes, &tables), []);
}

#[test]
fn one_task_must_not_stand_in_two_rows() {
    let (mut processes, tables) = good();
    processes[1].push(at(
        20,
        Event::Started {
            run: 1,
            n: 7,
            task_id: 71,
            attempt: 1,
            task_type: "once".to_owned(),
            queue: "default".to_owned(),
        },
    ));
    processes[1].push(at(21, ended(1, How::Succeeded)));
    assert_eq!(found(&processes, &tables), [Violation::TwoRows(7)]);
    // But one whose id another had meanwhile.
    processes[0].push(at(15, Event::Renumbered { n: 7 }));
    assert_eq!(found(&processes, &tables), []);
}

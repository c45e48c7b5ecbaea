//! Tasks in batches and groups, with hooks and somebody who waits: enqueuing them, and looking at what the tables and those who
//! were told say of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Once;

use sqlx::{PgConnection, PgPool, query, query_as, query_scalar};
use taskq::error::BoxError;
use taskq::{Group, NewTask, Payload, encryption};
use taskq_tests::checker::Violation;
use taskq_tests::company::{
    Answered, Briefly, GatherAll, GatherEach, KEYS, Spreads, WORD, begin, word,
};
use taskq_tests::history::{Batch, Event, Plan, Process, events};

use super::Stage;
use super::enqueue::{Finale, Said};

/// What is enqueued, all of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody waits for each.
    Answered,
    /// Their rows are kept for a minute.
    Briefly,
    /// In batches in a transaction, with an outcome for each.
    GatherEach,
    /// In batches, with one outcome.
    GatherAll,
    /// They add members to their group, and begin others.
    Spreads,
}

/// All of them.
pub(crate) const KINDS: [Kind; 5] = [
    Kind::Answered,
    Kind::Briefly,
    Kind::GatherEach,
    Kind::GatherAll,
    Kind::Spreads,
];

/// What one transaction enqueues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wave {
    pub(crate) kind: Kind,
    pub(crate) plan: Plan,
    pub(crate) count: i64,
    pub(crate) takes_ms: u64,
    /// Whether it begins a group for them.
    pub(crate) is_group: bool,
    pub(crate) finale: Finale,
}

/// The tables of the application.
pub(super) const TABLES: &str = "
    create table asked (task_id bigint not null, n bigint not null);
    create table joined (group_id bigint not null, members bigint not null);
    create table finish (group_id bigint not null, counts bigint[] not null);
    create table set_back (first bigint not null, last bigint not null);
    create table witnessed (task_type text not null, n bigint not null, outcome text not null)";

impl Stage {
    /// Enqueues tasks in a transaction on this connection, and records how it ends.
    pub(crate) async fn enqueue_company(
        &self,
        db: &mut PgConnection,
        wave: Wave,
    ) -> Result<(), BoxError> {
        let Wave {
            kind,
            plan,
            count,
            takes_ms,
            is_group,
            finale,
        } = wave;
        let failures = plan.failures;
        let has_hook = matches!(kind, Kind::Answered | Kind::Briefly);
        let plan = Plan {
            once: !matches!(kind, Kind::Answered | Kind::GatherAll),
            // What the hook refuses is a failure too.
            failures: failures + u16::from(has_hook),
            ..plan
        };
        let insert = async |tx: &mut PgConnection, batch: Batch| {
            let group = match is_group {
                true => Some(begin(tx, count).await?),
                false => None,
            };
            let how = How {
                group,
                max_attempts: plan.max_attempts,
            };
            for n in batch.numbers() {
                match kind {
                    Kind::Answered => {
                        let word = word(n);
                        let task = how.task(Answered {
                            n,
                            failures,
                            takes_ms,
                            word,
                        });
                        // Others are asked for now and then.
                        let task = if n % 2 == 0 { task.awaited() } else { task };
                        let task_id = how.enqueue(tx, task).await?;
                        let insert = query("insert into asked (task_id, n) values ($1, $2)");
                        insert.bind(task_id).bind(n).execute(&mut *tx).await?;
                    }
                    Kind::Briefly => {
                        let task = how.task(Briefly {
                            n,
                            failures,
                            takes_ms,
                        });
                        how.enqueue(tx, task).await?;
                    }
                    Kind::GatherEach => {
                        let task = how.task(GatherEach {
                            n,
                            failures,
                            takes_ms,
                        });
                        how.enqueue(tx, task).await?;
                    }
                    Kind::GatherAll => {
                        let task = how.task(GatherAll {
                            n,
                            failures,
                            takes_ms,
                        });
                        how.enqueue(tx, task).await?;
                    }
                    Kind::Spreads => {
                        let task = how.task(Spreads {
                            n,
                            failures,
                            takes_ms,
                        });
                        how.enqueue(tx, task).await?;
                    }
                }
            }
            // Some are sealed later.
            if let Some(group) = group.filter(|_| batch.first % 2 == 0) {
                group.seal(tx).await?;
            }
            Ok(Said::Created)
        };
        self.in_transaction(db, plan, count, finale, insert).await
    }

    /// Seals some of the groups that are not sealed, or all of them. Returns how many there were.
    pub(crate) async fn seal(&self, most: i64) -> Result<usize, BoxError> {
        let unsealed: Vec<i64> = query_scalar(
            "select group_id from taskq.task_group where sealed_at is null order by random() limit $1",
        )
        .bind(most)
        .fetch_all(&self.pool)
        .await?;
        for group_id in &unsealed {
            let mut tx = self.pool.begin().await?;
            Group::of(*group_id).seal(&mut tx).await?;
            tx.commit().await?;
        }
        Ok(unsealed.len())
    }
}

struct How {
    group: Option<Group>,
    max_attempts: u16,
}

impl How {
    fn task<P: Payload>(&self, payload: P) -> NewTask<P> {
        let task = NewTask::of(payload).max_attempts(self.max_attempts);
        match self.group {
            Some(group) => task.group(group),
            None => task,
        }
    }

    async fn enqueue<P: Payload>(
        &self,
        tx: &mut PgConnection,
        task: NewTask<P>,
    ) -> Result<i64, BoxError> {
        let mut many = taskq::Many::new();
        let place = many.push(task);
        Ok(many.enqueue(tx).await?.get(place).task_id)
    }
}

/// Has enqueues of this process encrypt.
pub(crate) fn encrypt() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| encryption::install(KEYS.parse().expect("keys")));
}

/// Says what must not be.
pub(super) async fn judge(pool: &PgPool, processes: &[Process]) -> sqlx::Result<Vec<String>> {
    let mut found = Vec::new();
    groups(pool, &mut found).await?;
    let ends = ends(pool).await?;
    hooks(pool, processes, &ends, &mut found).await?;
    waits(processes, &ends, &mut found);
    let words: i64 = query_scalar(
        "select count(*) from taskq.tasks where concat(payload, errors, metadata) like '%' || $1 || '%'",
    )
    .bind(WORD)
    .fetch_one(pool)
    .await?;
    if words > 0 {
        found.push(format!("{words} rows tell an encrypted word"));
    }
    Ok(found)
}

/// Each group has ended once, its task was told how many members ended in which way, and these are all that there were.
async fn groups(pool: &PgPool, found: &mut Vec<String>) -> sqlx::Result<()> {
    let wrong: Vec<String> = query_scalar(
        "with expected as (
             select group_id, sum(members)::bigint as members
             from joined
             group by group_id
         ),
         finishes as (
             select group_id, count(*) as times, min(counts) as counts
             from finish
             group by group_id
         )
         select format(
             'group %s: %s joined, %s, its task is %s and was told %s times: %s',
             group_id, expected.members, to_jsonb(held) - 'payload' - 'options', coalesce(dead.state, 'not dead'),
             coalesce(finishes.times, 0), finishes.counts
         )
         from expected
         full join taskq.task_group as held using (group_id)
         left join finishes using (group_id)
         left join taskq.dead on dead.task_id = held.task_id and dead.task_type = 'finished'
         where held.ended_at is null
            or expected.members is distinct from held.members
            or held.deleted + held.invalid + held.expired + held.cancelled > 0
            or held.members <> held.completed + held.discarded + held.quarantined
            -- Its process may have died under it again and again.
            or coalesce(finishes.times, 0) <> case when dead.state = 'quarantined' then 0 else 1 end
            or finishes.counts <> array[
                held.members, held.completed, held.discarded, held.cancelled, held.invalid, held.quarantined,
                held.expired, held.deleted
            ]",
    )
    .fetch_all(pool)
    .await?;
    found.extend(wrong);
    let wrong: Vec<String> = query_scalar(
        "select format('group %s counts %s', group_id, counted)
         from (
             select held.group_id, array[held.completed, held.discarded, held.quarantined] as counted, array[
                 count(*) filter (where member.outcome = 'completed'),
                 count(*) filter (where member.outcome = 'discarded'),
                 count(*) filter (where member.outcome = 'quarantined')
             ] as listed
             from taskq.task_group as held
             join taskq.group_member as member using (group_id)
             group by held.group_id
         ) as held
         where counted <> listed
         union all
         select format('member %s of group %s is %s, and its task %s', task_id, group_id, outcome, coalesce(dead.state, 'gone'))
         from taskq.group_member
         left join taskq.dead using (task_id)
         where outcome is distinct from coalesce(dead.state, 'completed')
           and not exists (select from set_back where task_id between set_back.first and set_back.last)",
    )
    .fetch_all(pool)
    .await?;
    found.extend(wrong);
    Ok(())
}

/// How tasks with hooks have ended, as the tables hold it: by type and number. Of those that are kept for a minute the completed
/// ones are missing.
type Ends = HashMap<(String, i64), BTreeSet<String>>;

async fn ends(pool: &PgPool) -> sqlx::Result<Ends> {
    let rows: Vec<(String, i64, String)> = query_as(
        "select task_type, (payload ->> 'n')::bigint, state
         from taskq.tasks
         where task_type in ('answered', 'briefly')",
    )
    .fetch_all(pool)
    .await?;
    let mut ends = Ends::new();
    for (task_type, n, state) in rows {
        ends.entry((task_type, n)).or_default().insert(state);
    }
    Ok(ends)
}

/// What hooks wrote in transactions is what the tables hold, and they are told of nothing else.
async fn hooks(
    pool: &PgPool,
    processes: &[Process],
    ends: &Ends,
    found: &mut Vec<String>,
) -> sqlx::Result<()> {
    let rows: Vec<(String, i64, String)> = query_as("select task_type, n, outcome from witnessed")
        .fetch_all(pool)
        .await?;
    let mut witnessed = HashMap::<(String, i64), Vec<String>>::new();
    for (task_type, n, outcome) in rows {
        witnessed.entry((task_type, n)).or_default().push(outcome);
    }
    let mut briefly = 0;
    for (of, outcomes) in &witnessed {
        let (task_type, n) = of;
        let is_brief = task_type == "briefly" && outcomes[..] == ["completed"];
        briefly += i64::from(is_brief);
        let held = ends.get(of).cloned().unwrap_or_default();
        let is_held = held.iter().eq(outcomes.iter()) || is_brief && held.is_empty();
        if !is_held {
            found.push(format!("{task_type} {n} ended as {outcomes:?}, says the hook, and as {held:?}, say the tables"));
        }
    }
    for (of, held) in ends {
        let is_told = held.iter().any(|it| it == "completed" || it == "discarded");
        if is_told && !witnessed.contains_key(of) {
            found.push(format!("{of:?} ended as {held:?} without its hook"));
        }
    }
    let there: i64 = query_scalar(
        "select (select count(*) from taskq.history where task_type = 'briefly')
             + coalesce((select sum(total)::bigint from taskq.pruned where task_type = 'briefly'), 0)",
    )
    .fetch_one(pool)
    .await?;
    if there != briefly {
        found.push(format!("{briefly} that are kept for a minute have completed, and {there} are there or were pruned"));
    }
    let mut told = BTreeMap::<(i64, &str), usize>::new();
    for (_, event) in events(processes) {
        if let Event::Told { n, outcome } = event {
            *told.entry((*n, outcome)).or_default() += 1;
        }
    }
    for ((n, outcome), times) in told {
        if !["completed", "discarded"].contains(&outcome) {
            continue;
        }
        let of_type = |it: &str| witnessed.get(&(it.to_owned(), n));
        let is_true = ["answered", "briefly"]
            .iter()
            .any(|it| of_type(it).is_some_and(|it| it.iter().any(|it| it == outcome)));
        if times > 1 || !is_true {
            found.push(format!(
                "a hook was told {times} times that {n} is {outcome}, which holds: {is_true}"
            ));
        }
    }
    Ok(())
}

/// Whoever waits is told how its task has ended.
fn waits(processes: &[Process], ends: &Ends, found: &mut Vec<String>) {
    let mut again = Vec::new();
    for (_, event) in events(processes) {
        if let Event::SetBack { from, to } = event {
            again.push(*from..=*to);
        }
    }
    for (_, event) in events(processes) {
        match event {
            Event::Answered { n, task_id, what } => {
                let held = ends.get(&("answered".to_owned(), *n));
                let expected = held.and_then(|it| it.first()).map(|it| match &**it {
                    "completed" => n.to_string(),
                    other => other.to_owned(),
                });
                // Where an id has come again, it may be another's.
                let is_excused = what == "refused" || again.iter().any(|it| it.contains(task_id));
                if expected.as_ref() != Some(what) && !is_excused {
                    found.push(format!("who waited for {n}, task {task_id}, was told {what}: the tables say {expected:?}"));
                }
            }
            Event::StillWaiting { waits } if *waits > 0 => {
                found.push(format!("{waits} waits were told nothing when all was over"));
            }
            _ => {}
        }
    }
}

/// Tells whether a task was charged because Postgres has refused what became of another one of its batch: all fail then.
pub(super) fn is_for_anothers_sake(processes: &[Process], violation: &Violation) -> bool {
    let Violation::Charged { n, .. } = violation else {
        return false;
    };
    let is_batch = |event: &Event| matches!(event, Event::Started { n: of, task_type, .. } if of == n && task_type == "gather_each");
    let is_refusal = |event: &Event| matches!(event, Event::Trouble(what) if what.ends_with("comes and goes") || what.ends_with("set back"));
    events(processes).any(|(_, event)| is_batch(event))
        && events(processes).any(|(_, event)| is_refusal(event))
}

/// Says how much there was of what.
pub(crate) async fn seen(stage: &Stage) -> String {
    let counts: String = query_scalar(
        "select format(
             '%s groups with %s members, %s noted by hooks in transactions, %s pruned, %s with progress',
             (select count(*) from taskq.task_group),
             (select count(*) from taskq.group_member),
             (select count(*) from witnessed),
             (select coalesce(sum(total), 0) from taskq.pruned),
             (select count(*) from taskq.progress)
         )",
    )
    .fetch_one(&stage.pool)
    .await
    .expect("counted");
    let (mut told, mut answers, mut failed) = (0, 0, BTreeMap::<String, usize>::new());
    for (_, event) in events(&stage.read_history()) {
        match event {
            Event::Told { .. } => told += 1,
            Event::Answered { .. } => answers += 1,
            Event::WaitFailed { error, .. } => *failed.entry(error.clone()).or_default() += 1,
            _ => {}
        }
    }
    format!("{counts}, {told} ends told to hooks, {answers} answers; waits that failed: {failed:?}")
}

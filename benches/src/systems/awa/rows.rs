//! What awa's tables have for tasks that wait, are due later or have finished.

use std::ops::Range;

use crate::systems::Ballast;

/// How many tasks its own bulk insert would have written together.
const PER_INSERT: u64 = 1_000;

/// Sets how many shards a queue has, and makes what its first insert into each of them makes.
pub fn lanes(queue: &str, shards: u8) -> String {
    format!(
        "insert into awa.queue_meta (queue, enqueue_shards) values ('{queue}', {shards});
         insert into awa.queue_lanes (queue, priority) values ('{queue}', 2);
         insert into awa.queue_enqueue_heads (queue, priority, enqueue_shard)
         select '{queue}', 2, shard from generate_series(0, {shards} - 1) as shard;
         insert into awa.queue_claim_heads (queue, priority, enqueue_shard)
         select '{queue}', 2, shard from generate_series(0, {shards} - 1) as shard;
         select awa.ensure_lane_sequences('{queue}', 2::smallint, shard::smallint)
         from generate_series(0, {shards} - 1) as shard"
    )
}

/// Inserts tasks that wait, as many into each shard.
pub fn preload(shards: u8, numbers: Range<u64>) -> String {
    let (first, count) = (numbers.start, numbers.end - numbers.start);
    let shards = u64::from(shards);
    let from = |shard: u64| first + count * shard / shards;
    let inserts: Vec<_> = (0..shards)
        .map(|shard| insert("default", shard, from(shard)..from(shard + 1)))
        .collect();
    format!("{}; select pg_notify('awa:default', '')", inserts.join(";"))
}

pub fn ballast(ballast: Ballast, rows: u64) -> String {
    match ballast {
        // It fails tasks of kinds that it does not know, so these have a queue of their own.
        Ballast::Unknown => insert("unknown", 0, 0..rows),
        Ballast::Future => format!(
            "insert into awa.deferred_jobs
                 (job_id, kind, queue, args, state, priority, attempt, run_lease, max_attempts,
                  run_at, created_at)
             select nextval('awa.job_id_seq'), 'bench', 'default', jsonb_build_object('n', n),
                    'scheduled', 2, 0, 0, 25, now() + interval '30 days', now()
             from generate_series(1, {rows}) as n"
        ),
        Ballast::Finished => format!(
            "insert into awa.done_entries
                 (ready_slot, ready_generation, job_id, kind, queue, args, state, priority,
                  attempt, run_lease, max_attempts, lane_seq, enqueue_shard, run_at,
                  attempted_at, finalized_at, created_at)
             select current_slot, generation, -n, 'bench', 'default',
                    jsonb_build_object('n', n), 'completed', 2, 1, 1, 25, -n, 0, now(), now(),
                    now(), now()
             from awa.queue_ring_state, generate_series(1, {rows}) as n"
        ),
    }
}

/// Inserts what its own bulk insert writes: the tasks, and a row for each thousand of them that says where they are.
fn insert(queue: &str, shard: u64, numbers: Range<u64>) -> String {
    let (first, end) = (numbers.start, numbers.end);
    format!(
        "with lane as materialized (
             select awa.reserve_enqueue_seq(
                        '{queue}', 2::smallint, {shard}::smallint, {end} - {first}) as seq
         ), place as materialized (
             select current_slot, generation, seq from awa.queue_ring_state, lane
         ), segments as (
             insert into awa.ready_segments
                 (ready_slot, ready_generation, queue, priority, enqueue_shard, first_lane_seq,
                  next_lane_seq, first_run_at)
             select current_slot, generation, '{queue}', 2, {shard}, seq + at,
                    seq + least(at + {PER_INSERT}, {end} - {first}), now()
             from place, generate_series(0, {end} - {first} - 1, {PER_INSERT}) as at
         )
         insert into awa.ready_entries
             (ready_slot, ready_generation, job_id, kind, queue, args, priority, attempt,
              run_lease, max_attempts, lane_seq, enqueue_shard, run_at, created_at)
         select current_slot, generation, nextval('awa.job_id_seq'), 'bench', '{queue}',
                jsonb_build_object('n', n), 2, 0, 0, 25, seq + n - {first}, {shard}, now(),
                now()
         from place, generate_series({first}::bigint, {end}::bigint - 1) as n"
    )
}

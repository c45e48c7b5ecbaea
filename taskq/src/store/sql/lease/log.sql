-- Writes the lines that runs have logged, and deletes those of tasks that are done and not kept.
-- $1 worker_id, the tasks of runs: $2 task ids, $3 runs, $4 attempts, $5 how many tasks, $6 how many lines are shown, $7 seconds
-- since the first line, lines: $8 runs, $9 chunks, $10 seconds since the first line of the run, $11 how many were logged, $12 their numbers,
-- $13 the lines, chunks that are too old: $14 runs, $15 the first that stays, $16 the tasks that are done
-- Of each task the newest nineteen runs stay beside the one that is written.
-- Indexes attempt_log_pkey, attempt_log_run, log_chunk_pkey. Locks: the rows deleted and written, which nobody else writes
-- while these run.
with leaving as materialized (
    select attempt_log.task_id, attempt_log.log_id
    from taskq.attempt_log
    where attempt_log.task_id = any ($16::bigint[])
    union all
    select older.task_id, older.log_id
    from (
        select
            held.task_id,
            held.log_id,
            row_number() over (partition by held.task_id order by held.begun_at desc) as rank
        from taskq.attempt_log as held
        where held.task_id = any ($2::bigint[])
          and held.log_id <> all ($3::uuid[])
    ) as older
    where older.rank > 19
),
left_behind as (
    delete from taskq.attempt_log
    using leaving
    where attempt_log.task_id = leaving.task_id
      and attempt_log.log_id = leaving.log_id
),
emptied as (
    delete from taskq.log_chunk
    where log_chunk.log_id in (select leaving.log_id from leaving)
      and not exists (
          select
          from taskq.attempt_log as other
          where other.log_id = log_chunk.log_id
            and not exists (
                select
                from leaving
                where leaving.task_id = other.task_id
                  and leaving.log_id = other.log_id
            )
      )
),
replaced as (
    delete from taskq.log_chunk
    using unnest($14::uuid[], $15::integer[]) as old (log_id, stays)
    where log_chunk.log_id = old.log_id
      and log_chunk.chunk < old.stays
),
told as (
    insert into taskq.attempt_log (task_id, log_id, attempt, worker_id, begun_at, tasks, most_lines)
    select
        given.task_id,
        given.log_id,
        given.attempt,
        $1::uuid,
        now() - make_interval(secs => given.age),
        given.tasks,
        given.most_lines
    from unnest(
        $2::bigint[],
        $3::uuid[],
        $4::integer[],
        $5::integer[],
        $6::integer[],
        $7::float8[]
    ) as given (task_id, log_id, attempt, tasks, most_lines, age)
    order by given.task_id
    on conflict (task_id, log_id) do nothing
)
insert into taskq.log_chunk (log_id, chunk, begun_at, said, line_count, lines)
select
    given.log_id,
    given.chunk,
    -- All times of a run are told from one moment.
    coalesce(
        (select held.begun_at from taskq.attempt_log as held where held.log_id = given.log_id limit 1),
        now() - make_interval(secs => given.age)
    ),
    given.said,
    given.line_count,
    given.lines::jsonb
from unnest(
    $8::uuid[],
    $9::integer[],
    $10::float8[],
    $11::bigint[],
    $12::integer[],
    $13::text[]
) as given (log_id, chunk, age, said, line_count, lines)
on conflict (log_id, chunk) do update
set begun_at = excluded.begun_at,
    said = excluded.said,
    line_count = excluded.line_count,
    lines = excluded.lines

-- Writes how far attempts say that they are, and deletes it of tasks that are done and not kept.
-- $1 worker_id, $2 task ids, $3 attempts, $4 fractions, $5 what was said, $6 seconds since then, $7 the tasks that are done
-- What was said later stays, whoever writes first.
-- Index progress_pkey. Locks: rows of taskq.progress, which nobody else writes while these run.
with gone as (
    delete from taskq.progress
    where progress.task_id = any ($7::bigint[])
)
insert into taskq.progress as earlier (task_id, attempt, worker_id, fraction, said, said_at)
select
    given.task_id,
    given.attempt,
    $1::uuid,
    given.fraction,
    given.said,
    now() - make_interval(secs => given.age)
from unnest(
    $2::bigint[],
    $3::integer[],
    $4::float8[],
    $5::text[],
    $6::float8[]
) as given (task_id, attempt, fraction, said, age)
order by given.task_id
on conflict (task_id) do update
set attempt = excluded.attempt,
    worker_id = excluded.worker_id,
    fraction = excluded.fraction,
    said = excluded.said,
    said_at = excluded.said_at
where earlier.said_at <= excluded.said_at

-- Writes which attempts of a worker block their threads or have had a transaction for long, and forgets what was seen before.
-- $1 worker_id, $2 task ids, $3 threads, $4 for how many seconds they have been blocked, $5 processes of the server
-- A row that says the same already is not written again.
-- Index watched_pkey. Locks: the worker's own rows; the key of its row in taskq.worker.
with over as (
    delete from taskq.watched
    where watched.worker_id = $1::uuid
      and watched.task_id <> all ($2::bigint[])
)
insert into taskq.watched (worker_id, task_id, thread, blocked_since, backend)
select
    worker.worker_id,
    given.task_id,
    given.thread,
    now() - make_interval(secs => given.blocked),
    given.backend
from unnest(
    $2::bigint[],
    $3::text[],
    $4::float8[],
    $5::integer[]
) as given (task_id, thread, blocked, backend)
join taskq.worker on worker.worker_id = $1::uuid
order by given.task_id
on conflict (worker_id, task_id) do update
set thread = excluded.thread,
    blocked_since = excluded.blocked_since,
    backend = excluded.backend
where (watched.thread, watched.backend) is distinct from (excluded.thread, excluded.backend)

-- Says that a worker is alive and what it serves; forgets workers that have been silent for an hour.
-- $1 worker_id, $2 host, $3 process_id, $4 queues, $5 task types
-- $6 for how many seconds it may be taken for alive
-- Index worker_pkey. Locks: the worker's own row; rows of workers long gone, unless others have them.
with forgotten as (
    delete from taskq.worker
    where worker_id in (
        select worker.worker_id
        from taskq.worker
        where worker.expires_at < now() - interval '1 hour'
        order by worker.worker_id
        for update skip locked
    )
)
insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at)
values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
on conflict (worker_id) do update
set seen_at = now(),
    expires_at = excluded.expires_at

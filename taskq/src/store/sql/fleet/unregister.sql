-- Says that a worker has stopped.
-- $1 worker_id
-- Index worker_pkey, sleeper_pkey. Locks: the worker's own rows.
with listening as (
    delete from taskq.sleeper
    where worker_id = $1
)
delete from taskq.worker
where worker_id = $1

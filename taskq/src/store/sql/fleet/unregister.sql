-- Says that a worker has stopped.
-- $1 worker_id
-- Index worker_pkey, sleeper_pkey. Locks: the worker's own rows; then, by a trigger, that of listeners who come and go.
with listening as (
    delete from taskq.sleeper
    where worker_id = $1
)
delete from taskq.worker
where worker_id = $1

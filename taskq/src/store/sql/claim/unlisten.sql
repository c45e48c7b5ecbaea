-- Takes back a worker's registration as asleep: while it is awake nobody need tell it of new tasks.
-- $1 worker_id, $2 queues
-- Index sleeper_pkey. Locks: the worker's own rows.
delete from taskq.sleeper
where worker_id = $1
  and queue = any ($2::text[])

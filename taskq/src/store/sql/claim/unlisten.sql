-- Removes a worker from the waiting listeners of queues: a busy worker needs no notifications.
-- $1 worker_id, $2 queues
-- Index sleeper_pkey. Locks: the worker's own rows; then, by a trigger, that of those who come and go.
delete from taskq.sleeper
where worker_id = $1
  and queue = any ($2::text[])

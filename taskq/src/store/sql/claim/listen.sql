-- Registers a worker as a waiting listener of queues, so that enqueues into them notify it.
-- $1 worker_id, $2 queues, $3 for how many seconds
-- Index sleeper_pkey. Locks: the worker's own rows; then, by a trigger, that of those who come and go.
insert into taskq.sleeper (worker_id, queue, expires_at)
select $1, waited.queue, now() + make_interval(secs => $3)
from unnest($2::text[]) as waited (queue)
on conflict (worker_id, queue) do update
set expires_at = excluded.expires_at

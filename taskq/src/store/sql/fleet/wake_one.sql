-- Wakes one other worker that listens for each of these queues, so that it claims what limits have kept back: the next
-- by its id, so that it is not always the same.
-- $1 worker_id, $2 queues, $3 the channel of operators
-- Reads all waiting listeners. Locks: none.
select pg_notify($3, concat_ws(' ', 'wake', woken.worker_id, woken.queue))
from (
    select distinct on (sleeper.queue) sleeper.worker_id, sleeper.queue
    from taskq.sleeper
    where sleeper.queue = any ($2::text[])
      and sleeper.worker_id <> $1
      and sleeper.expires_at > now()
    order by sleeper.queue, sleeper.worker_id < $1, sleeper.worker_id
) as woken

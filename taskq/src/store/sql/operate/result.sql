-- Tells where a task is, and what its handler returned if that was kept.
-- $1 task_id
-- Indexes history_task_id, dead_pkey, task_pkey; leases are few, and read without their payloads.
-- Locks: none.
--
-- In the order in which there is something to say, and no further than where the task is found.
select
    'completed' as state,
    history.result,
    -- Of the attempt that completed: why its result is not there.
    case
        when history.errors -> -1 -> 'attempt' = to_jsonb(history.attempts)
            then history.errors -> -1 ->> 'error'
    end as error
from taskq.history
where history.task_id = $1::bigint
union all
select
    dead.state,
    null,
    dead.errors -> -1 ->> 'error'
from taskq.dead
where dead.task_id = $1::bigint
union all
select
    'waiting',
    null,
    null
from taskq.task
where task.task_id = $1::bigint
union all
select
    'running',
    null,
    null
from taskq.lease
where $1::bigint = any (lease.task_ids)
  and $1::bigint <> all (lease.done)
limit 1

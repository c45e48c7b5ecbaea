-- Tells where a task is, and what its handler returned if that was kept.
-- $1 task_id
-- Indexes task_pkey, history_task_id, dead_pkey, refused_task_id; leases are few, and read without their
-- payloads. Locks: none.
--
-- What waits or runs comes first, and what ended last: an id may have come again, as after a restore, and must not
-- find another task's result. No further than where the task is found.
select
    'waiting' as state,
    null::jsonb as result,
    null::text as error
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
union all
select
    ended.state,
    ended.result,
    ended.error
from (
    select
        'completed' as state,
        history.result,
        -- Of the attempt that completed: why its result is not there.
        case
            when history.errors -> -1 -> 'attempt' = to_jsonb(history.attempts)
                then history.errors -> -1 ->> 'error'
        end as error,
        history.finished_at
    from taskq.history
    where history.task_id = $1::bigint
    union all
    select
        dead.state,
        null,
        dead.errors -> -1 ->> 'error',
        dead.finished_at
    from taskq.dead
    where dead.task_id = $1::bigint
    union all
    select
        'refused',
        null,
        refused.refusal ->> 'message',
        refused.refused_at
    from taskq.refused
    where refused.task_id = $1::bigint
    order by finished_at desc
    limit 1
) as ended
limit 1

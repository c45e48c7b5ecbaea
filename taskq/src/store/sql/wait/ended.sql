-- Tells which of these tasks have ended and how, and which are nowhere. Of what waits or runs it tells nothing.
-- $1 task ids, each once
-- Indexes task_pkey, history_task_id, dead_pkey, refused_task_id; leases are few, and only their ids are read.
-- Locks: none.
--
-- What waits or runs comes before what has ended: see result. Each task is looked up by itself: see complete.
with asked as materialized (
    select asked.task_id
    from unnest($1::bigint[]) as asked (task_id)
    where not exists (
        select
        from taskq.task
        where task.task_id = asked.task_id
        offset 0
    )
),
running as materialized (
    select matched.task_id
    from (
        -- Who has left is looked up for the few that match.
        select held.task_id, held.done
        from (
            select held.task_id, lease.done
            from taskq.lease
            cross join lateral unnest(lease.task_ids) as held (task_id)
            where exists (select from asked)
            offset 0
        ) as held
        join asked on asked.task_id = held.task_id
        offset 0
    ) as matched
    where matched.task_id <> all (matched.done)
),
open as materialized (
    select asked.task_id
    from asked
    where not exists (select from running where running.task_id = asked.task_id)
)
select
    open.task_id,
    coalesce(ended.state, 'gone') as state,
    ended.result,
    ended.error
from open
left join lateral (
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
    where history.task_id = open.task_id
    union all
    select
        dead.state,
        null,
        dead.errors -> -1 ->> 'error',
        dead.finished_at
    from taskq.dead
    where dead.task_id = open.task_id
    union all
    select
        'refused',
        null,
        refused.refusal ->> 'message',
        refused.refused_at
    from taskq.refused
    where refused.task_id = open.task_id
    order by finished_at desc
    limit 1
) as ended on true

-- Does what complete_own does, and keeps the task in the history.
-- $1 lease_id, $2 the handler's result (null: none is kept), $3 why it could not be kept (null: no reason)
-- Index lease_pkey. Locks: the lease; then a new row.
with completed as (
    delete from taskq.lease
    where lease_id = $1::uuid
      and cardinality(task_ids) - cardinality(done) = 1
    returning
        queue,
        claimed_at,
        done,
        task_ids,
        task_types,
        payload_versions,
        payloads,
        priorities,
        created_ats,
        attempts,
        errors
),
kept as (
    insert into taskq.history (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        created_at,
        attempts,
        errors,
        claimed_at,
        result
    )
    select
        task.task_id,
        task.task_type,
        coalesce(task.payload_version, 0),
        task.payload,
        completed.queue,
        task.priority,
        task.created_at,
        task.attempts + 1,
        case
            when $3::text is null then task.errors
            else
                -- The last fifty.
                case
                    when jsonb_array_length(task.errors) >= 50 then task.errors - 0
                    else coalesce(task.errors, '[]')
                end
                || jsonb_build_object('attempt', task.attempts + 1, 'at', now(), 'error', $3::text)
        end,
        completed.claimed_at,
        $2::jsonb
    from completed
    cross join lateral unnest(
        completed.task_ids,
        completed.task_types,
        completed.payload_versions,
        completed.payloads,
        completed.priorities,
        completed.created_ats,
        completed.attempts,
        completed.errors
    ) as task (
        task_id,
        task_type,
        payload_version,
        payload,
        priority,
        created_at,
        attempts,
        errors
    )
    where task.task_id <> all (completed.done)
)
select
    cast(case count(*) when 1 then '1' else 'the lease of this task is gone' end as integer) as completed
from completed

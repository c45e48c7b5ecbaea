-- Does what complete_own does, and keeps the task in the history.
-- $1 lease_id, $2 the handler's result (null: none is kept), $3 why it could not be kept (null: no reason)
-- Index lease_pkey. Locks: the lease; then a new row.
with completed as (
    delete from taskq.lease
    where lease_id = $1::uuid
      and cardinality(task_ids) - cardinality(done) = 1
    returning *
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
        metadata,
        claimed_at,
        result
    )
    select
        task.task_id,
        task.task_type,
        task.payload_version,
        task.payload,
        completed.queue,
        task.priority,
        task.created_at,
        task.attempts + 1,
        taskq.with_error(task.errors, task.attempts + 1, $3::text),
        task.metadata,
        completed.claimed_at,
        $2::jsonb
    from completed
    cross join lateral taskq.left_in(completed::taskq.lease) as task
)
select
    cast(
        case
            when count(*) = 0 then 'the lease of this task is gone'
            when pg_advisory_unlock_all() is null or pg_my_temp_schema() = 0 then '0'
            else '1'
        end as integer
    )
    + case when session_user <> 'taskq_user' or current_user <> 'taskq_role' then 2 else 0 end
        as left_behind
from completed

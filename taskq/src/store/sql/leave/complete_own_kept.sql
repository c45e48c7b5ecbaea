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
    cast(case count(*) when 1 then '1' else 'the lease of this task is gone' end as integer) as completed,
    pg_advisory_unlock_all() as unlocked,
    pg_my_temp_schema() <> 0 as has_temporary
from completed

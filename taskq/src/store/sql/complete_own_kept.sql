-- Does what complete_own does, and keeps the task in the history.
-- $1 lease_id
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
        claimed_at
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
        task.errors,
        completed.claimed_at
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
    cast(case count(*) when 1 then '1' else 'taskq: the lease is gone' end as integer) as completed
from completed

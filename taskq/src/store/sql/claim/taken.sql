-- Goes on from claim.sql, where the worker knows that all tasks share a lease, or that each has one of its own. Goes on in
-- into.sql and shared.sql, or in beside.sql, into.sql and own.sql.
batch as (
    delete from taskq.task
    where ctid = any ((select due.places from due)::tid[])
    returning
        task_id,
        task_type,
        payload_version,
        payload,
        priority,
        run_at,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors,
        metadata
)

-- Keeps completed tasks in the history that are to be kept: a part of settle.sql and of rescue.sql, after shrink.sql.
-- Locks: new rows only.
history as (
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
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        created_at,
        attempts + 1,
        taskq.with_error(errors, attempts + 1, error),
        metadata,
        claimed_at,
        result::jsonb
    from settled
    where outcome = 'completed'
      and keep
),

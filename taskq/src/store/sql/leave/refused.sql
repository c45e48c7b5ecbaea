-- Sets tasks aside that Postgres refuses to take back: the middle of settle.sql and of rescue.sql where they
-- try again with a task that was refused, which then has the outcome `refused`. Its result is what Postgres said.
-- The table refuses nothing. Locks: a new row.
refused as (
    insert into taskq.refused (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        run_at,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors,
        metadata,
        refusal
    )
    select
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        run_at,
        created_at,
        max_attempts,
        attempts + (result::jsonb ->> 'outcome' in ('retry', 'discarded', 'cancelled'))::integer,
        crashes + (result::jsonb ->> 'outcome' = 'rescued')::integer,
        taskq.with_error(errors, attempts + 1, error),
        metadata,
        result::jsonb
    from settled
    where outcome = 'refused'
),

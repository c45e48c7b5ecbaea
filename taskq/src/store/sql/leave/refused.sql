-- Sets tasks aside that Postgres refuses to take back: the end of settle.sql and of rescue.sql, after shrink.sql, where
-- they try again with a task that was refused, which then has the outcome `refused`. Its result is what Postgres said.
-- It names no table but this one, which refuses nothing: the others may refuse a statement that brings them no row.
-- Locks: a new row.
--
-- Returns the tasks that have left, and fails if one has not arrived, as move.sql does.
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
    returning 1
)
select
    lease_id,
    task_id,
    null as quarantined
from settled
where cast(
    case
        when (select count(*) from refused) = (select count(*) from settled) then 'true'
        else 'a trigger has kept a task from where it goes'
    end as boolean
)

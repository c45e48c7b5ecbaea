-- Moves settled tasks to where their outcomes send them: the end of settle.sql and of rescue.sql, after shrink.sql and
-- keep.sql. Outcomes:
--   completed    gone, or in the history, by keep.sql
--   retry        waits again after the delay, one attempt used
--   snooze       waits again after the delay
--   hand_back    waits again in its old place
--   rescued      waits again in its old place, one crash counted
--   discarded, cancelled    set aside as dead, one attempt used
--   invalid, expired        set aside as dead
--   quarantined  set aside as dead, one crash counted
-- An error is added to those of its task. The result of a task that waits again is merged into its metadata.
-- Locks: new rows only.
--
-- Returns the tasks that have left, with the types of those that were quarantined. Fails if one has not arrived:
-- a trigger of a user's that drops the rows of duplicates would lose it.
waiting as (
    insert into taskq.task (
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
        metadata
    )
    overriding system value
    select
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        case
            when outcome in ('retry', 'snooze') then now() + make_interval(secs => delay)
            else run_at
        end,
        created_at,
        max_attempts,
        attempts + (outcome = 'retry')::integer,
        crashes + (outcome = 'rescued')::integer,
        taskq.with_error(errors, attempts + 1, error),
        case
            when result is null then metadata
            else coalesce(metadata, '{}') || result::jsonb
        end
    from settled
    where outcome in ('retry', 'snooze', 'hand_back', 'rescued')
    order by task_id
    returning 1
),
dead as (
    insert into taskq.dead (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors,
        metadata,
        state
    )
    select
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        created_at,
        max_attempts,
        attempts + (outcome in ('discarded', 'cancelled'))::integer,
        crashes + (outcome = 'quarantined')::integer,
        taskq.with_error(errors, attempts + 1, error),
        metadata,
        outcome
    from settled
    where outcome in ('discarded', 'cancelled', 'invalid', 'quarantined', 'expired')
    returning 1
)
select
    lease_id,
    task_id,
    case when outcome = 'quarantined' then task_type end as quarantined
from settled
where cast(
    case
        when (select count(*) from waiting)
            + (select count(*) from dead)
            = (select count(*) from settled where outcome <> 'completed')
            then 'true'
        else 'a trigger has kept a task from where it goes'
    end as boolean
)

-- Moves settled tasks to where their outcomes send them, and deletes the leases that are then empty: the
-- end of settle.sql and of rescue.sql, which say
--   held       the leases, locked
--   settled    the tasks that leave them, each with its outcome
-- Outcomes:
--   completed    gone, or into the history
--   retry        waits again after the delay, one attempt used
--   snooze       waits again after the delay
--   hand_back    waits again in its old place
--   rescued      waits again in its old place, one crash counted
--   discarded, cancelled    set aside as dead, one attempt used
--   invalid      set aside as dead
--   quarantined  set aside as dead, one crash counted
--   refused      set aside, by refused.sql
-- An error is added to those of its task.
-- Locks: new rows only.
--
-- Returns the tasks that have left, with the types of those that were quarantined. Fails if one has not arrived:
-- a trigger of a user's that drops the rows of duplicates would lose it.
progress as materialized (
    select
        held.lease_id,
        coalesce(gone.task_ids, '{}') as task_ids,
        cardinality(held.done) + coalesce(cardinality(gone.task_ids), 0) = cardinality(held.task_ids)
            as empty
    from held
    left join (
        select settled.lease_id, array_agg(settled.task_id) as task_ids
        from settled
        group by settled.lease_id
    ) as gone on gone.lease_id = held.lease_id
),
emptied as (
    delete from taskq.lease
    using progress
    where lease.lease_id = any (array[progress.lease_id])
      and progress.empty
),
marked as (
    update taskq.lease
    set done = lease.done || progress.task_ids
    from progress
    where lease.lease_id = any (array[progress.lease_id])
      and not progress.empty
),
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
        metadata
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
    where outcome in ('discarded', 'cancelled', 'invalid', 'quarantined')
    returning 1
),
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
            = (select count(*) from settled where outcome not in ('completed', 'refused'))
            then 'true'
        else 'a trigger has kept a task from where it goes'
    end as boolean
)

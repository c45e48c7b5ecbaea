-- Takes tasks out of their leases, each to where its outcome sends it, and deletes the leases
-- that are then empty.
-- $1 lease ids, $2 task ids, $3 outcomes, $4 delays in seconds, $5 errors (null: none to record)
-- $6 whether the task is kept in the history when it has completed
-- $7 the results of those that have, as JSON (null: none is kept; null for all of them: none at all)
-- Outcomes:
--   completed    gone, or into the history
--   retry        waits again after the delay, one attempt used, its error recorded
--   snooze       waits again after the delay, no attempt used
--   hand_back    waits again in its old place, no attempt used
--   discarded, cancelled, invalid    set aside as dead
-- Index lease_pkey. Locks: the leases, in the order of their ids; then new rows only.
--
-- The fence: an outcome counts only for a task that is still listed in its lease and not yet done.
-- Returns the tasks whose outcome counted. The parameters stand in subqueries so that the plan is made
-- once: it takes milliseconds. It does not know how many tasks there are, and where it expects few it
-- would look through each lease once for each task: so they are matched by a full join, which is never a
-- loop within a loop, and `offset 0` keeps it one.
with given as materialized (
    select
        given.lease_id,
        given.task_id,
        given.outcome,
        given.delay,
        given.error,
        given.keep,
        given.result
    from unnest(
        (select $1::uuid[]),
        (select $2::bigint[]),
        (select $3::text[]),
        (select $4::float8[]),
        (select $5::text[]),
        (select $6::boolean[]),
        (select $7::text[])
    ) as given (lease_id, task_id, outcome, delay, error, keep, result)
),
held as materialized (
    select
        lease.lease_id,
        lease.queue,
        lease.claimed_at,
        lease.done,
        lease.task_ids,
        lease.task_types,
        lease.payload_versions,
        lease.payloads,
        lease.priorities,
        lease.run_ats,
        lease.created_ats,
        lease.max_attempts,
        lease.attempts,
        lease.crashes,
        lease.errors
    from taskq.lease
    where lease.lease_id in (select distinct given.lease_id from given)
    order by lease.lease_id
    for update
),
settled as materialized (
    select
        lease_id,
        queue,
        claimed_at,
        task_id,
        task_type,
        payload_version,
        payload,
        priority,
        run_at,
        created_at,
        max_attempts,
        crashes,
        outcome,
        delay,
        keep,
        result,
        attempts
            + (outcome in ('completed', 'retry', 'discarded', 'cancelled'))::integer
            as attempts,
        case
            when error is null then errors
            else
                -- The last fifty.
                case
                    when jsonb_array_length(errors) >= 50 then errors - 0
                    else coalesce(errors, '[]')
                end
                || jsonb_build_object(
                    'attempt', attempts + 1,
                    'at', now(),
                    'error', error
                )
        end as errors
    from (
        select
            held.lease_id,
            held.queue,
            held.claimed_at,
            held.done,
            task.task_id,
            task.task_type,
            coalesce(task.payload_version, 0) as payload_version,
            task.payload,
            task.priority,
            task.run_at,
            task.created_at,
            task.max_attempts,
            task.attempts,
            task.crashes,
            task.errors,
            given.outcome,
            given.delay,
            given.error,
            given.keep,
            given.result
        from held
        cross join lateral unnest(
            held.task_ids,
            held.task_types,
            held.payload_versions,
            held.payloads,
            held.priorities,
            held.run_ats,
            held.created_ats,
            held.max_attempts,
            held.attempts,
            held.crashes,
            held.errors
        ) as task (
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
            errors
        )
        full join given
          on given.lease_id = held.lease_id
         and given.task_id = task.task_id
        offset 0
    ) as matched
    where outcome is not null
      and task_id <> all (done)
),
progress as materialized (
    select
        gone.lease_id,
        gone.task_ids,
        cardinality(held.done) + cardinality(gone.task_ids) = cardinality(held.task_ids) as empty
    from (
        select settled.lease_id, array_agg(settled.task_id) as task_ids
        from settled
        group by settled.lease_id
    ) as gone
    join held on held.lease_id = gone.lease_id
),
emptied as (
    delete from taskq.lease
    using progress
    where lease.lease_id = progress.lease_id
      and progress.empty
),
marked as (
    update taskq.lease
    set done = lease.done || progress.task_ids
    from progress
    where lease.lease_id = progress.lease_id
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
        errors
    )
    overriding system value
    select
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        case outcome
            when 'hand_back' then run_at
            else now() + make_interval(secs => delay)
        end,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors
    from settled
    where outcome in ('retry', 'snooze', 'hand_back')
    order by task_id
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
        attempts,
        crashes,
        errors,
        outcome
    from settled
    where outcome in ('discarded', 'cancelled', 'invalid')
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
        attempts,
        errors,
        claimed_at,
        result::jsonb
    from settled
    where outcome = 'completed'
      and keep
)
select lease_id, task_id
from settled

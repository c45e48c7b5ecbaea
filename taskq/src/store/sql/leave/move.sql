-- Moves settled tasks to where their outcomes send them, and deletes the leases that are then empty: the
-- end of settle.sql and of rescue.sql, which say
--   held       the leases, locked
--   settled    the tasks that leave them, each with its outcome and with what that changes of it
-- Locks: new rows only.
--
-- Returns the tasks that have left. No columns stand here that only travel: see migrations/0004_held.sql.
progress as materialized (
    select
        held.lease_id,
        coalesce(gone.task_ids, '{}') as task_ids,
        cardinality(held.done) + coalesce(cardinality(gone.task_ids), 0) = cardinality(held.task_ids)
            as empty
    from held
    left join (
        select settled.lease_id, array_agg((settled.task).task_id) as task_ids
        from settled
        group by settled.lease_id
    ) as gone on gone.lease_id = held.lease_id
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
    insert into taskq.task
    overriding system value
    select task.*
    from settled
    cross join lateral taskq.as_task(
        settled.task,
        settled.queue,
        settled.run_at,
        settled.attempts,
        settled.crashes,
        settled.errors
    ) as task
    where settled.outcome in ('retry', 'snooze', 'hand_back')
    order by task.task_id
),
dead as (
    insert into taskq.dead
    select dead.*
    from settled
    cross join lateral taskq.as_dead(
        settled.task,
        settled.queue,
        settled.attempts,
        settled.crashes,
        settled.errors,
        settled.outcome
    ) as dead
    where settled.outcome in ('discarded', 'cancelled', 'invalid', 'quarantined')
),
history as (
    insert into taskq.history
    select history.*
    from settled
    cross join lateral taskq.as_history(
        settled.task,
        settled.queue,
        settled.claimed_at,
        settled.attempts,
        settled.errors,
        settled.result::jsonb
    ) as history
    where settled.outcome = 'completed'
      and settled.keep
)
select
    lease_id,
    (task).task_id,
    (task).task_type,
    outcome
from settled

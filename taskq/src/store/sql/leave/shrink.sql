-- Deletes the leases that are empty when tasks have left them, and notes in the others who has left: the middle of
-- settle.sql and of rescue.sql, which say
--   held       the leases, locked
--   settled    the tasks that leave them, each with its outcome
-- Locks: none further.
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

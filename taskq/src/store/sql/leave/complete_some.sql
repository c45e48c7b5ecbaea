-- Completes tasks that leave others behind in their leases, by noting them beside the payloads.
-- $1 lease ids, $2 how many tasks each lease has left, as the worker counts
-- $3 and $4 the tasks (lease_id, task_id)
-- Index lease_pkey. Locks: the leases, in the order of their ids.
--
-- The fence is that of complete: a lease that is gone, or from which somebody took a task, is left
-- alone, and its tasks go the long way, through settle. Returns the leases in which they count. Each lease is
-- looked up by itself: see complete.
with given as materialized (
    select counted.lease_id, counted.remaining, array_agg(completed.task_id) as task_ids
    from unnest($1::uuid[], $2::integer[]) as counted (lease_id, remaining)
    join unnest($3::uuid[], $4::bigint[]) as completed (lease_id, task_id)
      on completed.lease_id = counted.lease_id
    group by counted.lease_id, counted.remaining
    order by counted.lease_id
),
held as materialized (
    select given.lease_id, given.task_ids
    from given
    cross join lateral (
        select cardinality(lease.task_ids) - cardinality(lease.done) as remaining
        from taskq.lease
        where lease.lease_id = given.lease_id
        for update
        offset 0
    ) as held
    where held.remaining = given.remaining
)
update taskq.lease
set done = lease.done || held.task_ids
from held
where lease.lease_id = any (array[held.lease_id])
returning lease.lease_id

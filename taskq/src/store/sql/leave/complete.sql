-- Completes all that is left of leases at once, by deleting each lease's row.
-- $1 lease ids, $2 how many tasks each lease has left, as the worker counts
-- Index lease_pkey. Locks: the leases, in the order of their ids.
--
-- The fence: a lease that was rescued is not there; one from which somebody took a task counts
-- differently, and goes the long way, through settle. Returns the leases completed. Each lease is looked up by
-- itself, first in a subquery of its own and then by an array that no join can be made of. As a join this would be
-- planned for few rows, and would walk through all of the table or of its index, where many have died.
with whole as materialized (
    select given.lease_id
    from (
        select given.lease_id, given.remaining
        from unnest($1::uuid[], $2::integer[]) as given (lease_id, remaining)
        order by given.lease_id
    ) as given
    cross join lateral (
        select cardinality(lease.task_ids) - cardinality(lease.done) as remaining
        from taskq.lease
        where lease.lease_id = given.lease_id
        for update
        offset 0
    ) as held
    where held.remaining = given.remaining
)
delete from taskq.lease
using whole
where lease.lease_id = any (array[whole.lease_id])
returning lease.lease_id

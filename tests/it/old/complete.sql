-- Completes all that is left of leases at once, by deleting each lease's row.
-- $1 lease ids, $2 how many tasks each lease has left, as the worker counts
-- Index lease_pkey. Locks: the leases, in the order of their ids.
--
-- The fence: a lease that was rescued is not there; one from which somebody took a task counts
-- differently, and goes the long way, through settle. Returns the leases completed.
with whole as (
    select lease.lease_id
    from unnest($1::uuid[], $2::integer[]) as given (lease_id, remaining)
    join taskq.lease
      on lease.lease_id = given.lease_id
     and cardinality(lease.task_ids) - cardinality(lease.done) = given.remaining
    order by lease.lease_id
    for update of lease
)
delete from taskq.lease
using whole
where lease.lease_id = whole.lease_id
returning lease.lease_id

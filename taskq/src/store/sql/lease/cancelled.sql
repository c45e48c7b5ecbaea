-- Reads which tasks of a worker have left their leases though it runs them: an operator has cancelled them.
-- $1 lease ids, $2 task ids
-- Index lease_pkey. Locks: none. A lease that is gone is found by its heartbeat.
select given.task_id
from unnest($1::uuid[], $2::bigint[]) as given (lease_id, task_id)
cross join lateral (
    select lease.done
    from taskq.lease
    where lease.lease_id = given.lease_id
    offset 0
) as held
where given.task_id = any (held.done)

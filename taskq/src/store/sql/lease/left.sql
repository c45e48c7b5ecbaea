-- Reads the ids of the tasks that are left in a lease.
-- $1 lease_id
-- Index lease_pkey. Locks: none.
select held.task_id
from taskq.lease
cross join lateral taskq.left_in(lease) as held
where lease.lease_id = $1
order by held.task_id

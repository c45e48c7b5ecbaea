-- Extends leases and returns those that still exist: a missing one was rescued.
-- $1 lease ids, $2 lease duration in seconds
-- Index lease_pkey. Locks: the leases, in the order of their ids.
with held as (
    select lease.lease_id
    from taskq.lease
    where lease.lease_id = any ($1::uuid[])
    order by lease.lease_id
    for update
)
update taskq.lease
set expires_at = now() + make_interval(secs => $2)
from held
where lease.lease_id = held.lease_id
returning lease.lease_id

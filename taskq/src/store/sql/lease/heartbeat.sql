-- Extends leases and returns those that still exist: a missing one was rescued.
-- $1 lease ids, $2 lease duration in seconds
-- Index lease_pkey, without a join: see complete. Locks: the leases, in the order of their ids.
with held as materialized (
    select lease.lease_id
    from (
        select given.lease_id
        from unnest($1::uuid[]) as given (lease_id)
        order by given.lease_id
    ) as given
    cross join lateral (
        select lease.lease_id
        from taskq.lease
        where lease.lease_id = given.lease_id
        for update
        offset 0
    ) as lease
)
update taskq.lease
set expires_at = now() + make_interval(secs => $2)
from held
where lease.lease_id = any (array[held.lease_id])
returning lease.lease_id

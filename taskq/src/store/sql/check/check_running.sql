-- Reads the tasks that are left in the next lease, in the order of the leases' ids.
-- $1 after this lease; null for the first
-- Index lease_pkey: one probe. Locks: none.
select
    held.task_id,
    held.task_type,
    held.payload_version,
    held.payload,
    lease.lease_id
from (
    select *
    from taskq.lease
    where lease_id > coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
    order by lease_id
    limit 1
) as lease
cross join lateral taskq.left_in(lease::taskq.lease) as held

-- Reads the tasks that are left in the next lease, in the order of the leases' ids.
-- $1 after this lease; null for the first
-- Index lease_pkey: one probe. Locks: none.
select
    held.task_id,
    held.task_type,
    -- Absent where an older binary has claimed.
    coalesce(held.payload_version, 0::smallint) as payload_version,
    held.payload,
    lease.lease_id
from (
    select lease_id, done, task_ids, task_types, payload_versions, payloads
    from taskq.lease
    where lease_id > coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
    order by lease_id
    limit 1
) as lease
cross join lateral unnest(
    lease.task_ids,
    lease.task_types,
    lease.payload_versions,
    lease.payloads
) as held (task_id, task_type, payload_version, payload)
where held.task_id <> all (lease.done)

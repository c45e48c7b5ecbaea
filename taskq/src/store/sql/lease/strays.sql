-- Reads which tasks are left in leases of a worker that it does not hold: it gave them up, or never heard of them.
-- $1 worker_id, $2 the leases that it holds
-- Scans taskq.lease, which has a row for each batch that is running now. Locks: none.
select
    lease.lease_id,
    held.task_id
from taskq.lease
cross join lateral unnest(lease.task_ids) as held (task_id)
where lease.worker_id = $1
  and lease.lease_id <> all ($2::uuid[])
  and held.task_id <> all (lease.done)
order by lease.lease_id, held.task_id
limit 5000

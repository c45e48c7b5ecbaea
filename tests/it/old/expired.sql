-- Finds leases that have run out, oldest first, a page at a time.
-- $1 and $2 where the last page ended (expires_at, lease_id); $3 the most to return
-- Scans taskq.lease, which has a row for each batch that is running now. Locks: none.
select
    lease.lease_id,
    lease.expires_at,
    lease.worker_id,
    cardinality(lease.task_ids) - cardinality(lease.done) as remaining
from taskq.lease
where lease.expires_at < now()
  and (lease.expires_at, lease.lease_id) > (coalesce($1::timestamptz, '-infinity'), $2::uuid)
order by lease.expires_at, lease.lease_id
limit $3

-- Tells how many tasks of a queue could run now if there were workers enough.
-- $1 queue, $2 how far to count
-- Index task_lane: two probes for each lane, and what is counted; walks the leases. Locks: none.
select taskq.load($1, $2)

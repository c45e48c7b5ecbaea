-- Tells how much of each kind waits, runs and is dead, and what time it is: one row at least.
-- $1 how far to count
-- Index task_lane: three probes for each lane, and what is counted; dead_kind; walks the leases. Locks: none.
select
    now() as at,
    stats.queue,
    stats.task_type,
    stats.due,
    stats.scheduled,
    stats.counted_to,
    stats.oldest_due_at,
    stats.running,
    stats.dead,
    stats.is_paused,
    stats.is_served,
    stats.stopped
from (values (1)) as always
left join taskq.stats($1) as stats on true
order by stats.queue, stats.task_type

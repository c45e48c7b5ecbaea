-- Reads what workers have counted by minute, of all kinds together: the oldest first.
-- $1 for how many seconds
-- Index minute_total_pkey. Locks: none.
select
    minute_total.minute,
    minute_total.completed,
    minute_total.failed,
    minute_total.died,
    minute_total.waits,
    minute_total.runs
from taskq.minute_total
where minute_total.minute >= date_trunc('minute', now() - make_interval(secs => least($1, 172800)))
order by minute_total.minute

-- Reads what workers have counted by minute: the newest first.
-- $1 for how many seconds, $2 most
-- Index minute_pkey. Locks: none.
select
    minute.minute,
    minute.queue,
    minute.task_type,
    minute.completed,
    minute.failed,
    minute.died,
    minute.waits,
    minute.runs
from taskq.minute
where minute.minute >= date_trunc('minute', now() - make_interval(secs => least($1, 172800)))
order by minute.minute desc, minute.queue desc, minute.task_type desc
limit $2

-- Tells how far a task says that it is, if it does.
-- $1 task_id
-- Index progress_pkey. Locks: none.
select
    attempt,
    fraction,
    said,
    said_at
from taskq.progress
where task_id = $1

-- Returns the id of the waiting task that was enqueued last; null where none waits.
-- Index task_pkey: one probe. Locks: none.
select max(task_id)
from taskq.task

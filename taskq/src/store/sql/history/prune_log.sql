-- Deletes the log lines of tasks that are nowhere any more, and returns up to which run of which task it has looked.
-- $1, $2 the task and its run behind which it looks, $3 at so many rows at the most
-- Locks: the rows deleted.
select last_task, last_run
from taskq.prune_log($1, $2, $3)

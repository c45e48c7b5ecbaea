-- Begins a group in the caller's transaction, and returns its id.
-- $1 task_type, $2 payload and $3 options of the task that is enqueued when all members have ended
-- Locks: none beyond the new row.
select taskq.begin_group($1, $2, $3)

-- Cancels a task that waits or runs, and returns in which state it was.
-- $1 task_id, $2 reason, $3 by whom; null for the role of the session
-- Index task_pkey; leases are few. Locks: the row of the task, or of its lease.
select taskq.cancel($1, $2, coalesce($3, session_user))

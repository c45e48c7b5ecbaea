-- Deletes a dead task, and returns in which state it was.
-- $1 task_id, $2 reason, $3 by whom; null for the role of the session
-- Index dead_pkey. Locks: the row of the task.
select taskq.discard($1, $2, coalesce($3, session_user))

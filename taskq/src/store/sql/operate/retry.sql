-- Has a dead task run again, or a waiting one at another time, and returns in which state it was.
-- $1 task_id, $2 when it is due; null for now, $3 reason, $4 by whom; null for the role of the session
-- Indexes task_pkey, dead_pkey. Locks: the row of the task.
select taskq.retry($1, coalesce($2, now()), $3, coalesce($4, session_user))

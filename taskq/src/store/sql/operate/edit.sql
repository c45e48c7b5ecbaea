-- Gives a dead task another payload, has it run again, and returns in which state it was.
-- $1 task_id, $2 payload, $3 its version (null: as it was), $4 when it is due; null for now, $5 reason
-- $6 by whom; null for the role of the session
-- Index dead_pkey. Locks: the row of the task.
select taskq.edit($1, $2, $3, coalesce($4, now()), $5, coalesce($6, session_user))

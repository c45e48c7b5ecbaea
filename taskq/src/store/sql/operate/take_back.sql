-- Has Postgres take a refused task back, and returns the id under which it waits; null if there is none.
-- $1 task_id, $2 reason, $3 by whom; null for the role of the session
-- Index refused_task_id, task_pkey. Locks: the row of the task; a new row of the audit.
select taskq.take_back($1, $2, $3)

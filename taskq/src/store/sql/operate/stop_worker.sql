-- Asks a worker to stop, and returns since when it is asked.
-- $1 worker_id, $2 reason, $3 by whom; null for the role of the session
-- Index worker_pkey. Locks: the row of the worker; a new row of the audit.
select taskq.stop_worker($1, $2, coalesce($3, session_user))

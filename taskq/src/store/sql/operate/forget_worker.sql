-- Forgets a worker that vanished, and returns whether there was one.
-- $1 worker_id, $2 reason, $3 by whom; null for the role of the session
-- Index worker_pkey; leases are few. Locks: the row of the worker; a new row of the audit.
select taskq.forget_worker($1, $2, $3)

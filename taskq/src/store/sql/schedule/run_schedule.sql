-- Enqueues a task of a schedule now, and returns its id.
-- $1 name, $2 reason, $3 by whom; null for the role of the session
-- Index schedule_pkey. Locks: the schedule's row.
select taskq.run_schedule($1, $2, $3)

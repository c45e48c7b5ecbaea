-- Enqueues a task of a schedule now, and returns its id.
-- $1 name
-- Index schedule_pkey. Locks: the schedule's row.
select taskq.run_schedule($1)

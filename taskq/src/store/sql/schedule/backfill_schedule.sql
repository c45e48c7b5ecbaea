-- Enqueues the tasks of these ticks of a schedule, and returns their ids.
-- $1 name, $2 the ticks
-- Index schedule_pkey. Locks: the schedule's row.
select taskq.backfill_schedule($1, $2)

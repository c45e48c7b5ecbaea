-- Enqueues the tasks of these ticks of a schedule, and returns their ids.
-- $1 name, $2 the ticks, $3 reason, $4 by whom; null for the role of the session
-- Index schedule_pkey. Locks: the schedule's row.
select taskq.backfill_schedule($1, $2, $3, $4)

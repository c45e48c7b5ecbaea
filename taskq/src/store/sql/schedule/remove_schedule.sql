-- Takes back what was said of a schedule by hand, and returns what became of it.
-- $1 name
-- Index schedule_pkey. Locks: the schedule's row, and its pause.
select taskq.remove_schedule($1)

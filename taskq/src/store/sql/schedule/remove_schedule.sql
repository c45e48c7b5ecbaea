-- Takes back what was said of a schedule by hand, and returns what became of it.
-- $1 name, $2 reason, $3 by whom; null for the role of the session
-- Index schedule_pkey. Locks: the schedule's row, and its pause.
select taskq.remove_schedule($1, $2, $3)

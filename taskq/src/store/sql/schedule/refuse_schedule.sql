-- Says on a schedule's row why it cannot tick, unless it has changed meanwhile.
-- $1 name, $2 its revision, $3 the error
-- Index schedule_pkey. Locks: the schedule's row.
update taskq.schedule
set error = $3,
    error_at = now()
where schedule.name = $1
  and schedule.revision = $2
  and schedule.error is distinct from $3

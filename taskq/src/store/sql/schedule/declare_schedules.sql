-- Says that a living worker declares these schedules, has those definitions hold that are to hold now, and returns how
-- many schedules have changed.
-- $1 names, $2 definitions, $3 for how many seconds they may be taken for declared
-- Index schedule_definition_declared, schedule_pkey. Locks: the rows of the names, in their order.
select taskq.declare_schedules($1, $2, $3)

-- Has nothing start for a while of the key of a task, or of its type where that is not limited by key.
-- $1 lease_id, $2 task_id, $3 for how many seconds
-- Index lease_pkey, gate_pkey. Locks: the row of the gate.
select taskq.hold_key($1, $2, $3)

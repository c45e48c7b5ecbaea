-- Has nothing start for a while of the key of a lease's tasks, or of their type where it has no key.
-- $1 lease_id, $2 for how many seconds
-- Index lease_pkey, gate_pkey. Locks: the row of the gate.
select taskq.hold_key($1, $2)

-- Inserts one task in the caller's transaction.
-- $1 task_type, $2 payload, $3 queue, $4 priority, $5 max_attempts
-- $6 run_at, null for now; $7 delay in seconds, added to now where there is no run_at
-- $8 payload_version, $9 metadata (null: none)
-- Locks: none beyond the new row.
insert into taskq.task (task_type, payload_version, payload, queue, priority, max_attempts, metadata, run_at)
values ($1, $8, $2, $3, $4, $5, $9, coalesce($6, now() + make_interval(secs => $7)))
returning task_id

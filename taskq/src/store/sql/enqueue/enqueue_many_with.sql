-- Does what enqueue_many.sql does, for tasks that all have the same metadata.
-- $1 task_type, $2 payloads, $3 queue, $4 priority, $5 max_attempts
-- $6 run_at, null for now; $7 delay in seconds, added to now where there is no run_at
-- $8 payload_version, $9 metadata
-- Locks: none beyond the new rows.
with inserted as (
    insert into taskq.task (task_type, payload_version, payload, queue, priority, max_attempts, metadata, run_at)
    select $1, $8, given.payload, $3, $4, $5, $9, (select coalesce($6, now() + make_interval(secs => $7)))
    from unnest($2::jsonb[]) as given (payload)
    returning task_id
)
select array(select task_id from inserted)

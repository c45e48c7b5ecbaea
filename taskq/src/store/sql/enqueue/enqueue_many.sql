-- Inserts tasks of one type in the caller's transaction, in the order given: `unnest` yields them in it, and nothing
-- that stands behind it sorts or joins. Returns their ids as one array: a row for each costs as much again as what the
-- client does.
-- $1 task_type, $2 payloads, $3 queue, $4 priority, $5 max_attempts
-- $6 run_at, null for now; $7 delay in seconds, added to now where there is no run_at
-- $8 payload_version
-- Locks: none beyond the new rows.
with inserted as (
    insert into taskq.task (task_type, payload_version, payload, queue, priority, max_attempts, run_at)
    select $1, $8, given.payload, $3, $4, $5, (select coalesce($6, now() + make_interval(secs => $7)))
    from unnest($2::jsonb[]) as given (payload)
    returning task_id
)
select array(select task_id from inserted)

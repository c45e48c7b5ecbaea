-- Does what complete_own does, and keeps the task in the history.
-- Goes on in own_left.sql or own_silent.sql.
-- $1 lease_id, $2 the handler's result (null: none is kept), $3 why it could not be kept (null: no reason)
-- Index lease_pkey. Locks: the lease; then a new row.
--
-- A lease of this kind holds one task, so each of its arrays has one place. To name that place takes less than to read
-- the arrays by taskq.left_in.
with completed as (
    delete from taskq.lease
    where lease_id = $1::uuid
      and cardinality(task_ids) = 1
      and cardinality(done) = 0
    returning *
),
kept as (
    insert into taskq.history (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        created_at,
        attempts,
        errors,
        metadata,
        claimed_at,
        result
    )
    select
        completed.task_ids[1],
        completed.task_types[1],
        -- Absent where an older binary has claimed.
        coalesce(completed.payload_versions[1], 0::smallint),
        completed.payloads[1],
        completed.queue,
        completed.priorities[1],
        completed.created_ats[1],
        completed.attempts[1] + 1,
        taskq.with_error(completed.errors[1], completed.attempts[1] + 1, $3::text),
        completed.metadatas[1],
        completed.claimed_at,
        $2::jsonb
    from completed
)

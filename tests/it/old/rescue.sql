-- Takes back what is left of a lease that ran out: its tasks wait again in their old places. Their
-- worker vanished, which is counted as a crash and uses no attempt; with too many crashes a task is
-- quarantined.
-- $1 lease_id, $2 crashes with which a task is quarantined
-- Index lease_pkey. Locks: the lease, unless somebody has it; then new rows only.
--
-- The expiry is looked at again here: a heartbeat may have come since the lease was found.
with expired as materialized (
    select
        lease.lease_id,
        lease.queue,
        lease.done,
        lease.task_ids,
        lease.task_types,
        lease.payload_versions,
        lease.payloads,
        lease.priorities,
        lease.run_ats,
        lease.created_ats,
        lease.max_attempts,
        lease.attempts,
        lease.crashes,
        lease.errors
    from taskq.lease
    where lease.lease_id = $1
      and lease.expires_at < now()
    for update skip locked
),
released as (
    delete from taskq.lease
    using expired
    where lease.lease_id = expired.lease_id
),
left_over as materialized (
    select
        expired.queue,
        task.task_id,
        task.task_type,
        coalesce(task.payload_version, 0) as payload_version,
        task.payload,
        task.priority,
        task.run_at,
        task.created_at,
        task.max_attempts,
        task.attempts,
        task.crashes + 1 as crashes,
        task.errors,
        task.crashes + 1 >= $2 as is_dangerous
    from expired
    cross join lateral unnest(
        expired.task_ids,
        expired.task_types,
        expired.payload_versions,
        expired.payloads,
        expired.priorities,
        expired.run_ats,
        expired.created_ats,
        expired.max_attempts,
        expired.attempts,
        expired.crashes,
        expired.errors
    ) as task (
        task_id,
        task_type,
        payload_version,
        payload,
        priority,
        run_at,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors
    )
    where task.task_id <> all (expired.done)
),
quarantined as (
    insert into taskq.dead (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors,
        state
    )
    select
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        created_at,
        max_attempts,
        attempts,
        crashes,
        coalesce(errors, '[]') || jsonb_build_object(
            'attempt', attempts + 1,
            'at', now(),
            'error', format('its worker vanished %s times while it ran', crashes)
        ),
        'quarantined'
    from left_over
    where is_dangerous
    returning task_id, task_type
),
waiting as (
    insert into taskq.task (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        run_at,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors
    )
    overriding system value
    select
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        run_at,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors
    from left_over
    where not is_dangerous
    order by task_id
    returning task_id, task_type
)
select task_id, task_type, false as is_quarantined
from waiting
union all
select task_id, task_type, true
from quarantined

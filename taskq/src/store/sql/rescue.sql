-- Takes back what is left of a lease that ran out: its tasks wait again in their old places. Their
-- worker vanished, which is counted as a crash and uses no attempt.
-- $1 lease_id
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
)
insert into taskq.task (
    task_id,
    task_type,
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
    task.task_id,
    task.task_type,
    task.payload,
    expired.queue,
    task.priority,
    task.run_at,
    task.created_at,
    task.max_attempts,
    task.attempts,
    task.crashes + 1,
    task.errors
from expired
cross join lateral unnest(
    expired.task_ids,
    expired.task_types,
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
order by task.task_id

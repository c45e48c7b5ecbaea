-- Takes back what is left of a lease that ran out: its tasks wait again in their old places. Their
-- worker vanished, which is counted as a crash and uses no attempt; with too many crashes a task is
-- quarantined.
-- $1 lease_id, $2 crashes with which a task is quarantined
-- Goes on in move.sql.
-- Index lease_pkey. Locks: the lease, unless somebody has it; then new rows only.
--
-- The expiry is looked at again here: a heartbeat may have come since the lease was found.
with held as materialized (
    select
        lease.lease_id,
        lease.queue,
        lease.claimed_at,
        lease.done,
        lease.task_ids,
        lease.tasks
    from taskq.lease
    where lease.lease_id = $1
      and lease.expires_at < now()
    for update skip locked
),
settled as materialized (
    select
        held.lease_id,
        held.queue,
        held.claimed_at,
        task,
        verdict.outcome,
        task.run_at,
        task.attempts,
        verdict.crashes,
        taskq.with_error(
            task.errors,
            task.attempts + 1,
            case verdict.outcome
                when 'quarantined'
                    then format('its worker vanished %s times while it ran', verdict.crashes)
            end
        ) as errors,
        false as keep,
        null as result
    from held
    cross join lateral taskq.left_in(held.tasks, held.done) as task
    cross join lateral (
        select
            task.crashes + 1 as crashes,
            case when task.crashes + 1 >= $2 then 'quarantined' else 'hand_back' end as outcome
    ) as verdict
),

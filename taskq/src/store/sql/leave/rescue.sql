-- Takes back what is left of a lease that ran out: its tasks wait again in their old places. Their
-- worker vanished, which is counted as a crash and uses no attempt; with too many crashes a task is
-- quarantined.
-- $1 lease_id, $2 crashes with which a task is quarantined
-- Goes on in move.sql.
-- Index lease_pkey. Locks: the lease, unless somebody has it; then new rows only.
--
-- The expiry is looked at again here: a heartbeat may have come since the lease was found.
with held as materialized (
    select *
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
        task.*,
        verdict.outcome,
        false as keep,
        null as result,
        task.run_at as new_run_at,
        task.attempts as new_attempts,
        task.crashes + 1 as new_crashes,
        taskq.with_error(
            task.errors,
            task.attempts + 1,
            case verdict.outcome
                when 'quarantined'
                    then format('its worker vanished %s times while it ran', task.crashes + 1)
            end
        ) as new_errors
    from held
    cross join lateral taskq.left_in(held::taskq.lease) as task
    cross join lateral (
        select case when task.crashes + 1 >= $2 then 'quarantined' else 'hand_back' end as outcome
    ) as verdict
),

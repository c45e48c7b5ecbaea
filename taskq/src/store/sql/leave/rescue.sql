-- Takes back what is left of a lease that ran out: its tasks wait again in their old places. Their
-- worker vanished, which is counted as a crash and uses no attempt; with too many crashes a task is
-- quarantined.
-- $1 lease_id, $2 crashes with which a task is quarantined
-- $3 these tasks of the lease only (null: all)
-- $4 what Postgres said when it refused to take them back, as JSON: they are set aside (null: it did not)
-- Goes on in shrink.sql and move.sql.
-- Each crash leaves an error with the task, which says who had it and when.
-- Index lease_pkey, worker_pkey. Locks: the lease, unless somebody has it; then new rows only.
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
        case
            when $4::text is not null then 'refused'
            when task.crashes + 1 >= $2 then 'quarantined'
            else 'rescued'
        end as outcome,
        null::float8 as delay,
        jsonb_build_object(
            'error',
            concat(
                case
                    when task.crashes + 1 >= $2
                        then format('its worker vanished %s times while it ran; the last was ', task.crashes + 1)
                    else 'its worker vanished: '
                end,
                'process ' || vanished.process_id || ' on ' || vanished.host || ', ',
                format('worker %s, which claimed it at %s', held.worker_id, held.claimed_at)
            ),
            'worker_id',
            held.worker_id,
            'claimed_at',
            held.claimed_at
        ) as error,
        false as keep,
        $4::text as result
    from held
    left join taskq.worker as vanished on vanished.worker_id = held.worker_id
    cross join lateral taskq.left_in(held::taskq.lease) as task
    where $3::bigint[] is null
       or task.task_id = any ($3::bigint[])
),

-- Goes on from into.sql, behind each.sql or batches.sql: groups the tasks by lease. Goes on in claimed.sql.
-- $16 whether the commit must wait for the disk
select
    batch.lease_id,
    $2,
    $4,
    now() + make_interval(secs => $3),
    array_agg(batch.task_id),
    array_agg(batch.task_type),
    array_agg(batch.payload_version),
    array_agg(batch.payload),
    array_agg(batch.priority),
    array_agg(batch.run_at),
    array_agg(batch.created_at),
    case when count(batch.max_attempts) > 0 then array_agg(batch.max_attempts) else '{}' end,
    array_agg(batch.attempts),
    array_agg(batch.crashes),
    case when count(batch.errors) > 0 then array_agg(batch.errors) else '{}' end,
    case when count(batch.metadata) > 0 then array_agg(batch.metadata) end
from batch
cross join (
    select
        case
            when not $16 then set_config('synchronous_commit', 'off', true)
        end
) as unhurried
group by batch.lease_id

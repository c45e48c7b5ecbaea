-- Goes on from into.sql, behind taken.sql: all tasks share a lease. Goes on in claimed.sql.
-- $15 whether the commit must wait for the disk
--
-- leased.sql could do this too, but there Postgres looks each task's lease up among the groups. Each array costs Postgres a
-- twentieth of the claim: those are made whose values differ, or that hold something. No task of a shared lease has crashed
-- its worker. The arrays are parallel, since each reads the batch in the order in which it was taken.
select
    $1::uuid,
    $2,
    $4,
    now() + make_interval(secs => $3),
    moved.task_ids,
    case
        when cardinality($6::text[]) = 1 then array_fill(($6::text[])[1], array[moved.tasks])
        else (select array_agg(batch.task_type) from batch)
    end,
    case
        when cardinality($6::text[]) = 1 then array_fill(($7::smallint[])[1], array[moved.tasks])
        else (select array_agg(batch.payload_version) from batch)
    end,
    moved.payloads,
    case
        when cardinality($6::text[]) = 1 then array_fill(($9::smallint[])[1], array[moved.tasks])
        else (select array_agg(batch.priority) from batch)
    end,
    moved.run_ats,
    moved.created_ats,
    case when moved.have_max_attempts > 0 then (select array_agg(batch.max_attempts) from batch) else '{}' end,
    case
        when moved.most_attempts > 0 then (select array_agg(batch.attempts) from batch)
        else array_fill(0, array[moved.tasks])
    end,
    array_fill(0, array[moved.tasks]),
    case when moved.have_errors > 0 then (select array_agg(batch.errors) from batch) else '{}' end,
    case when moved.have_metadata > 0 then (select array_agg(batch.metadata) from batch) end
from (
    select
        array_agg(batch.task_id) as task_ids,
        array_agg(batch.payload) as payloads,
        array_agg(batch.run_at) as run_ats,
        array_agg(batch.created_at) as created_ats,
        count(batch.task_id)::integer as tasks,
        max(batch.attempts) as most_attempts,
        count(batch.max_attempts) as have_max_attempts,
        count(batch.errors) as have_errors,
        count(batch.metadata) as have_metadata
    from batch
) as moved
cross join (
    select
        case
            when not $15 then set_config('synchronous_commit', 'off', true)
        end
) as unhurried
where moved.tasks > 0

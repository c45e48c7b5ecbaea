-- Goes on from taken.sql: moves all tasks into one lease.
-- $15 whether the commit must wait for the disk
--
-- leased.sql could do this too, but there Postgres looks each task's lease up among the groups.
insert into taskq.lease (
    lease_id,
    worker_id,
    queue,
    expires_at,
    task_ids,
    task_types,
    payload_versions,
    payloads,
    priorities,
    run_ats,
    created_ats,
    max_attempts,
    attempts,
    crashes,
    errors,
    metadatas
)
select
    $1::uuid,
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
    array_agg(batch.max_attempts),
    array_agg(batch.attempts),
    array_agg(batch.crashes),
    array_agg(batch.errors),
    case when count(batch.metadata) > 0 then array_agg(batch.metadata) end
from batch
cross join (
    select
        case
            when not $15 then set_config('synchronous_commit', 'off', true)
        end
) as unhurried
having count(batch.task_id) > 0
returning
    lease_id,
    task_ids,
    task_types,
    payload_versions,
    payloads,
    priorities,
    run_ats,
    created_ats,
    max_attempts,
    attempts,
    crashes,
    errors,
    metadatas

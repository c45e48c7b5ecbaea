-- Goes on from taken.sql: moves each task into a lease of its own.
-- $15 whether the commit must wait for the disk
--
-- leased.sql could do this too, but there Postgres makes groups of one, with twelve aggregates for each: half as long again.
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
    -- A text that leaves a parameter out has no type for it.
    case when $1::uuid is not null then gen_random_uuid() end,
    $2,
    $4,
    now() + make_interval(secs => $3),
    array[batch.task_id],
    array[batch.task_type],
    array[batch.payload_version],
    array[batch.payload],
    array[batch.priority],
    array[batch.run_at],
    array[batch.created_at],
    array[batch.max_attempts],
    array[batch.attempts],
    array[batch.crashes],
    array[batch.errors],
    case when batch.metadata is not null then array[batch.metadata] end
from batch
cross join (
    select
        case
            when not $15 then set_config('synchronous_commit', 'off', true)
        end
) as unhurried
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

-- Goes on from into.sql, behind taken.sql and beside.sql: each task has a lease of its own. Goes on in told.sql.
-- $15 whether the commit must wait for the disk
--
-- The id of a lease begins as $1, which is random, and ends with the id of its task. So the leases of a claim stand side by side in
-- their index, and Postgres need not find a random number for each.
--
-- leased.sql could do this too, but there Postgres makes groups of one, with twelve aggregates for each: half as long again.
select
    cast(own.half || lpad(to_hex(batch.task_id), 16, '0') as uuid),
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
    case when batch.max_attempts is null then '{}' else array[batch.max_attempts] end,
    array[batch.attempts],
    array[batch.crashes],
    case when batch.errors is null then '{}' else array[batch.errors] end,
    case when batch.metadata is not null then array[batch.metadata] end
from batch
cross join (
    select
        left(replace($1::uuid::text, '-', ''), 16) as half,
        case
            when not $15 then set_config('synchronous_commit', 'off', true)
        end as unhurried
) as own

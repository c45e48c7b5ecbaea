-- Says once how the tasks of a lease are read, and lets a task carry metadata.

-- What an enqueue says beside the payload, for whoever reads it later. It goes wherever the task goes. A
-- task without any costs nothing.
alter table taskq.task
    add column metadata jsonb,
    add constraint task_metadata_object check (jsonb_typeof(metadata) = 'object'),
    add constraint task_metadata_size check (octet_length(metadata::text) <= 131072);
alter table taskq.lease
    -- Null where no task of the lease has any.
    add column metadatas jsonb[],
    alter column metadatas set storage external;
alter table taskq.dead add column metadata jsonb;
alter table taskq.history add column metadata jsonb;

-- A task of a lease. A type of its own, because the row type of a table would stand in the way of changes
-- to that table.
create type taskq.held as (
    task_id         bigint,
    task_type       text,
    payload_version smallint,
    payload         jsonb,
    priority        smallint,
    run_at          timestamptz,
    created_at      timestamptz,
    max_attempts    integer,
    attempts        integer,
    crashes         integer,
    errors          jsonb,
    metadata        jsonb
);

-- The tasks that have not left their lease. This is the fence by task. Planned as if its text stood in the
-- statement: it must stay one select, `stable`, not strict, with no settings of its own.
create function taskq.left_in(lease taskq.lease) returns setof taskq.held
language sql
stable
as $left_in$
    select
        held.task_id,
        held.task_type,
        -- Absent where an older binary has claimed.
        coalesce(held.payload_version, 0::smallint),
        held.payload,
        held.priority,
        held.run_at,
        held.created_at,
        held.max_attempts,
        held.attempts,
        held.crashes,
        held.errors,
        held.metadata
    from unnest(
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
        lease.errors,
        lease.metadatas
    ) as held (
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
        errors,
        metadata
    )
    where held.task_id <> all (lease.done)
$left_in$;

-- Adds to the errors of a task how an attempt failed, if it did, and keeps the last fifty. `failure` has the text as
-- `error`, and what else its worker knows. What is long of that, the levels of an error and the backtrace of a panic, stays
-- with the last three.
create function taskq.with_error(errors jsonb, attempt integer, failure jsonb) returns jsonb
language sql
stable
as $with_error$
    select
        case
            when failure is null then errors
            else
                case
                    when jsonb_array_length(errors) >= 50 then errors - 0
                    else coalesce(errors, '[]')
                end
                #- '{-3,chain}'
                #- '{-3,backtrace}'
                || (jsonb_build_object('attempt', attempt, 'at', now()) || failure)
        end
$with_error$;

-- The same for an error of which there is only a text.
create function taskq.with_error(errors jsonb, attempt integer, error text) returns jsonb
language sql
stable
as $with_error$
    select taskq.with_error(
        errors,
        attempt,
        case when error is not null then jsonb_build_object('error', error) end
    )
$with_error$;

create or replace view taskq.tasks as
select
    task_id,
    task_type,
    'waiting' as state,
    queue,
    priority,
    payload,
    attempts,
    max_attempts,
    crashes,
    errors,
    created_at,
    run_at,
    null::timestamptz as claimed_at,
    null::timestamptz as finished_at,
    null::uuid as worker_id,
    payload_version,
    null::jsonb as result,
    metadata
from taskq.task
union all
select
    held.task_id,
    held.task_type,
    'running',
    lease.queue,
    held.priority,
    held.payload,
    held.attempts,
    held.max_attempts,
    held.crashes,
    held.errors,
    held.created_at,
    held.run_at,
    lease.claimed_at,
    null,
    lease.worker_id,
    held.payload_version,
    null,
    held.metadata
from taskq.lease
cross join lateral taskq.left_in(lease) as held
union all
select
    task_id,
    task_type,
    state,
    queue,
    priority,
    payload,
    attempts,
    max_attempts,
    crashes,
    errors,
    created_at,
    null,
    null,
    finished_at,
    null,
    payload_version,
    null,
    metadata
from taskq.dead
union all
select
    task_id,
    task_type,
    'completed',
    queue,
    priority,
    payload,
    attempts,
    null,
    0,
    errors,
    created_at,
    null,
    claimed_at,
    finished_at,
    null,
    payload_version,
    result,
    metadata
from taskq.history;

insert into taskq.migration (version, name, oldest_binary)
values (4, 'held', 2);

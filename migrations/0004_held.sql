-- Names the columns of a task that runs once. What a lease keeps of its tasks is an array of one type,
-- `taskq.held`, and the functions below turn a row of taskq.task into a held task, and a held task into a
-- row of the table that it goes to. Statements name none of the columns that only travel: a binary that
-- does not know a column carries it all the same.
--
-- A later migration that adds such a column does, in this order: `alter table … add column` on the tables
-- that keep it; `alter type taskq.held add attribute`, always as the last one; and `create or replace` for
-- as_held, as_task, as_dead, as_history. Attributes are never dropped, reordered or retyped: tables hold
-- values of the type, and workers read its attributes by their order.

-- A type of its own. With the row type of taskq.task, `alter table taskq.task add column … default` would
-- be refused, because another table holds values of it.
create type taskq.held as (
    task_id         bigint,
    run_at          timestamptz,
    created_at      timestamptz,
    attempts        integer,
    crashes         integer,
    payload_version smallint,
    priority        smallint,
    max_attempts    integer,
    task_type       text,
    payload         jsonb,
    errors          jsonb
);

-- The functions are written so that the planner puts their bodies in place of the calls: they are in SQL,
-- one expression or one select, not strict, and have no settings of their own.

create function taskq.as_held(task taskq.task) returns taskq.held
language sql
immutable
as $as_held$
    select row(
        task.task_id,
        task.run_at,
        task.created_at,
        task.attempts,
        task.crashes,
        task.payload_version,
        task.priority,
        task.max_attempts,
        task.task_type,
        task.payload,
        task.errors
    )::taskq.held
$as_held$;

-- The tasks that have not left their lease. This is the fence by task.
create function taskq.left_in(tasks taskq.held[], done bigint[]) returns setof taskq.held
language sql
stable
as $left_in$
    select task.*
    from unnest(tasks) as task
    where task.task_id <> all (done)
$left_in$;

-- In the order of the tables' columns.

create function taskq.as_task(
    task taskq.held,
    queue text,
    run_at timestamptz,
    attempts integer,
    crashes integer,
    errors jsonb
) returns setof taskq.task
language sql
stable
as $as_task$
    select
        task.task_id,
        task.task_type,
        task.payload,
        queue,
        task.priority,
        run_at,
        task.created_at,
        task.max_attempts,
        attempts,
        crashes,
        errors,
        task.payload_version
$as_task$;

create function taskq.as_dead(
    task taskq.held,
    queue text,
    attempts integer,
    crashes integer,
    errors jsonb,
    state text
) returns setof taskq.dead
language sql
stable
as $as_dead$
    select
        task.task_id,
        task.task_type,
        task.payload,
        queue,
        task.priority,
        task.created_at,
        task.max_attempts,
        attempts,
        crashes,
        errors,
        state,
        now(),
        task.payload_version
$as_dead$;

create function taskq.as_history(
    task taskq.held,
    queue text,
    claimed_at timestamptz,
    attempts integer,
    errors jsonb,
    result jsonb
) returns setof taskq.history
language sql
stable
as $as_history$
    select
        task.task_id,
        task.task_type,
        task.payload_version,
        task.payload,
        queue,
        task.priority,
        task.created_at,
        attempts,
        errors,
        claimed_at,
        now(),
        result
$as_history$;

-- Adds an error to those of a task, if there is one, and keeps the last fifty.
create function taskq.with_error(errors jsonb, attempt integer, error text) returns jsonb
language sql
stable
as $with_error$
    select
        case
            when error is null then errors
            else
                case
                    when jsonb_array_length(errors) >= 50 then errors - 0
                    else coalesce(errors, '[]')
                end
                || jsonb_build_object('attempt', attempt, 'at', now(), 'error', error)
        end
$with_error$;

-- Leases of binaries that do not know `tasks` yet have the columns of their tasks as parallel arrays, which
-- are folded when the lease is inserted. Such a binary goes on with its own leases. A lease of a newer one it
-- cannot rescue: it finds no task type, is refused by taskq.task, and passes the lease over. That needs
-- `crashes`, as many as there are tasks: a task without it is neither quarantined nor let wait by those
-- binaries, and would be gone. When none of them is left, a later migration drops the arrays and what folds
-- them.

create function taskq.fold(lease taskq.lease) returns taskq.held[]
language sql
stable
as $fold$
    select coalesce(array_agg(
        row(
            task.task_id,
            task.run_at,
            task.created_at,
            task.attempts,
            task.crashes,
            coalesce(task.payload_version, 0),
            task.priority,
            task.max_attempts,
            task.task_type,
            task.payload,
            task.errors
        )::taskq.held
        order by task.position
    ), '{}')
    from unnest(
        lease.task_ids,
        lease.run_ats,
        lease.created_ats,
        lease.attempts,
        lease.crashes,
        lease.payload_versions,
        lease.priorities,
        lease.max_attempts,
        lease.task_types,
        lease.payloads,
        lease.errors
    ) with ordinality as task (
        task_id,
        run_at,
        created_at,
        attempts,
        crashes,
        payload_version,
        priority,
        max_attempts,
        task_type,
        payload,
        errors,
        position
    )
$fold$;

alter table taskq.lease
    add column tasks taskq.held[],
    alter column tasks set storage external;

update taskq.lease
set tasks = taskq.fold(lease);

alter table taskq.lease
    alter column tasks set not null,
    alter column task_types drop not null,
    alter column payload_versions drop not null,
    alter column payload_versions drop default,
    alter column payloads drop not null,
    alter column priorities drop not null,
    alter column run_ats drop not null,
    alter column created_ats drop not null,
    alter column max_attempts drop not null,
    alter column attempts drop not null,
    alter column errors drop not null;

create function taskq.fold_lease() returns trigger
language plpgsql
as $fold_lease$
begin
    new.tasks := taskq.fold(new);
    return new;
end
$fold_lease$;

create trigger lease_of_an_older_binary
before insert on taskq.lease
for each row
when (new.tasks is null)
execute function taskq.fold_lease();

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
    null::jsonb as result
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
    null
from taskq.lease
cross join lateral taskq.left_in(lease.tasks, lease.done) as held
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
    null
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
    result
from taskq.history;

insert into taskq.migration (version, name, oldest_binary)
values (4, 'held', 2);

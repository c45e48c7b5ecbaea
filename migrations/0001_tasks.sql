-- The tables of taskq. A task is in exactly one place at any time:
--
--   taskq.task     waiting     one row each; a claim deletes it
--   taskq.lease    running     one row for a batch of tasks that a worker has claimed together
--   taskq.dead     set aside   discarded, cancelled or invalid; kept until somebody decides
--   taskq.history  completed   only where a worker keeps completed tasks
--
-- The view taskq.tasks shows all four in one snapshot. A bare
--
--   insert into taskq.task (task_type, payload) values ('send_email_welcome', '{"usr_id": 1}')
--
-- is a correct enqueue from any language; every other column has a default.

-- Looked for first: the right to create schemas is needed only where there is something to create.
do $schema$
begin
    if to_regnamespace('taskq') is null then
        create schema taskq;
    end if;
end
$schema$;

create table taskq.migration (
    version       integer     not null,
    name          text        not null,
    -- The oldest binary, by the newest version that it knows, which can run on this schema.
    oldest_binary integer     not null,
    applied_at    timestamptz not null default now(),
    -- Of the first one alone: random, and made once for these tables. Ids of tasks begin at 1 in every database; with this,
    -- what is made of them differs between databases.
    installation_id uuid,
    constraint migration_pkey primary key (version),
    constraint migration_installation check ((version = 1) = (installation_id is not null))
);

create table taskq.task (
    task_id      bigint      not null generated always as identity,
    task_type    text        not null,
    payload      jsonb       not null default '{}',
    queue        text        not null default 'default',
    -- Smaller runs earlier.
    priority     smallint    not null default 0,
    run_at       timestamptz not null default now(),
    created_at   timestamptz not null default now(),
    -- Null: as many as the task type declares.
    max_attempts integer,
    -- Attempts made so far.
    attempts     integer     not null default 0,
    -- How often a worker vanished while it held this task. Not a failure, so not an attempt.
    crashes      integer     not null default 0,
    -- The last failed attempts, oldest first: [{"attempt": 1, "at": ..., "error": ...}].
    errors       jsonb,
    constraint task_pkey primary key (task_id),
    constraint task_type_length check (octet_length(task_type) between 1 and 200),
    constraint task_queue_length check (octet_length(queue) between 1 and 200),
    constraint task_run_at_range
        check (run_at >= '0001-01-01 00:00+00' and run_at < '10000-01-01 00:00+00'),
    constraint task_created_at_range
        check (created_at >= '0001-01-01 00:00+00' and created_at < '10000-01-01 00:00+00'),
    constraint task_errors_array check (jsonb_typeof(errors) = 'array'),
    constraint task_max_attempts_range check (max_attempts between 1 and 65535),
    constraint task_attempts_positive check (attempts >= 0),
    constraint task_crashes_positive check (crashes >= 0)
) with (
    -- Rows live for milliseconds, and a dead row at the head of a lane costs each claim. Vacuum
    -- early; and never truncate, which takes a lock that stops all claims.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_insert_scale_factor = 0.2,
    autovacuum_analyze_scale_factor = 0.02,
    vacuum_truncate = off
);

-- A lane is (queue, task_type, priority). Within a lane, what is due stands before what is not,
-- so a claim reads the head of a lane and nothing else: tasks of other types, of other
-- priorities, and tasks that are not due yet are never walked over.
create index task_lane on taskq.task (queue, task_type, priority, run_at, task_id);

create table taskq.lease (
    -- Random, made for each claim: never a sequence, whose last values a crashed server forgets.
    lease_id     uuid          not null,
    worker_id    uuid          not null,
    queue        text          not null,
    claimed_at   timestamptz   not null default now(),
    expires_at   timestamptz   not null,
    -- The tasks of this lease that have left it. Beside the payloads, which are stored out of
    -- line, so that progress does not write them again.
    done         bigint[]      not null default '{}',
    -- The claimed rows, as parallel arrays: an array of the table's row type would stand in the
    -- way of `alter table ... add column ... default`.
    task_ids     bigint[]      not null,
    task_types   text[]        not null,
    payloads     jsonb[]       not null,
    priorities   smallint[]    not null,
    run_ats      timestamptz[] not null,
    created_ats  timestamptz[] not null,
    max_attempts integer[]     not null,
    attempts     integer[]     not null,
    crashes      integer[]     not null,
    errors       jsonb[]       not null,
    constraint lease_pkey primary key (lease_id)
) with (
    -- Room for heartbeats on the same page. There is no index on expires_at, so they stay HOT.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 500,
    vacuum_truncate = off
);

create table taskq.dead (
    task_id      bigint      not null,
    task_type    text        not null,
    payload      jsonb       not null,
    queue        text        not null,
    priority     smallint    not null,
    created_at   timestamptz not null,
    max_attempts integer,
    attempts     integer     not null,
    crashes      integer     not null,
    errors       jsonb,
    -- discarded: attempts used up, or its handler said so; cancelled: no longer wanted;
    -- invalid: its payload does not decode.
    state        text        not null,
    finished_at  timestamptz not null default now(),
    constraint dead_pkey primary key (task_id),
    constraint dead_state check (state in ('discarded', 'cancelled', 'invalid'))
);

create index dead_finished_at on taskq.dead (finished_at, task_id);

create table taskq.history (
    task_id     bigint      not null,
    task_type   text        not null,
    payload     jsonb       not null,
    queue       text        not null,
    priority    smallint    not null,
    created_at  timestamptz not null,
    attempts    integer     not null,
    errors      jsonb,
    claimed_at  timestamptz not null,
    finished_at timestamptz not null default now(),
    constraint history_pkey primary key (task_id)
);

create index history_finished_at on taskq.history (finished_at, task_id);

-- Workers alive, by their last heartbeat: what a census of unserved types compares with.
create table taskq.worker (
    worker_id  uuid        not null,
    host       text        not null,
    process_id integer     not null,
    queues     text[]      not null,
    task_types text[]      not null,
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now(),
    -- When the others may take it for dead.
    expires_at timestamptz not null,
    constraint worker_pkey primary key (worker_id)
) with (fillfactor = 50);

-- Workers asleep, one row for each queue that they wait on. Unlogged: after a crash of the server
-- there is nobody to wake, and a worker can go to sleep without waiting for the disk.
create unlogged table taskq.sleeper (
    queue      text        not null,
    worker_id  uuid        not null,
    expires_at timestamptz not null,
    constraint sleeper_pkey primary key (worker_id, queue)
) with (fillfactor = 50);

-- Tells sleeping workers of the queues that new tasks are in; nobody else. A `notify` in every
-- commit would put all commits of the database behind one lock, so it is sent only when
-- somebody sleeps. It runs with its owner's rights, so that a role that may insert tasks need
-- not be allowed to read who sleeps.
create function taskq.wake_sleepers() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $wake$
begin
    perform pg_notify(tg_table_schema, woken.queue)
    from (
        select distinct sleeper.queue
        from taskq.sleeper
        where sleeper.expires_at > now()
          and exists (select from added where added.queue = sleeper.queue)
    ) as woken;
    return null;
end
$wake$;

create trigger task_wakes_sleepers
after insert on taskq.task
referencing new table as added
for each statement
execute function taskq.wake_sleepers();

-- All tasks, wherever they are, in one snapshot.
create view taskq.tasks as
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
    null::uuid as worker_id
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
    lease.worker_id
from taskq.lease
cross join lateral unnest(
    lease.task_ids,
    lease.task_types,
    lease.payloads,
    lease.priorities,
    lease.run_ats,
    lease.created_ats,
    lease.max_attempts,
    lease.attempts,
    lease.crashes,
    lease.errors
) as held (
    task_id,
    task_type,
    payload,
    priority,
    run_at,
    created_at,
    max_attempts,
    attempts,
    crashes,
    errors
)
where held.task_id <> all (lease.done)
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
    null
from taskq.history;

insert into taskq.migration (version, name, oldest_binary, installation_id)
values (1, 'tasks', 1, gen_random_uuid());

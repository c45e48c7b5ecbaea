-- Makes the version of a payload and the crashes of a task part of its lane, so that rows which a
-- worker cannot decode, and rows which may have killed one, stand outside the way of the others;
-- gives tasks that keep killing their workers a place of their own; bounds payloads; keeps the history
-- in one partition for each day, so that old days are dropped and not deleted row by row; keeps results of
-- handlers with it; and counts what became of tasks, since a completed one leaves nothing behind by
-- default.

alter table taskq.task
    -- The version of the payload's type, as written by the binary that enqueued it. Zero: not said,
    -- as by a bare insert.
    add column payload_version smallint not null default 0,
    add constraint task_payload_version_positive check (payload_version >= 0),
    -- A claim moves a thousand payloads into one row, which cannot hold more than a gigabyte.
    add constraint task_payload_size check (pg_column_size(payload) <= 1048576);

-- A lane is (queue, task_type, payload_version, crashes, priority). Every claim names its lanes
-- by equality, so what is not in them costs nothing, and within a lane what is due stands before
-- what is not. The three numbers fill what alignment would leave empty: the index has not grown.
drop index taskq.task_lane;
create index task_lane
on taskq.task (queue, task_type, payload_version, crashes, priority, run_at, task_id);

alter table taskq.lease
    -- Shorter than task_ids where an older binary has claimed: the rest is zero.
    add column payload_versions smallint[] not null default '{}',
    -- Written once, read once, deleted within milliseconds: compressing them costs more than it saves.
    alter column task_ids set storage external,
    alter column task_types set storage external,
    alter column payload_versions set storage external,
    alter column payloads set storage external,
    alter column priorities set storage external,
    alter column run_ats set storage external,
    alter column created_ats set storage external,
    alter column max_attempts set storage external,
    alter column attempts set storage external,
    alter column crashes set storage external,
    alter column errors set storage external,
    alter column done set storage external;

alter table taskq.dead
    add column payload_version smallint not null default 0,
    -- quarantined: it was running, with nothing else to blame, whenever its worker vanished.
    drop constraint dead_state,
    add constraint dead_state
        check (state in ('discarded', 'cancelled', 'invalid', 'quarantined'));

alter table taskq.history rename to history_before;
alter table taskq.history_before rename constraint history_pkey to history_before_pkey;
alter index taskq.history_finished_at rename to history_before_finished_at;

create table taskq.history (
    task_id         bigint      not null,
    task_type       text        not null,
    payload_version smallint    not null default 0,
    payload         jsonb       not null,
    queue           text        not null,
    priority        smallint    not null,
    created_at      timestamptz not null,
    attempts        integer     not null,
    errors          jsonb,
    claimed_at      timestamptz not null,
    finished_at     timestamptz not null default now(),
    -- What the handler returned, where its type keeps that and it could be kept.
    result          jsonb,
    constraint history_pkey primary key (finished_at, task_id)
) partition by range (finished_at);

create index history_task_id on taskq.history (task_id);

-- What finishes on a day that has no partition, because no worker was there to make it in time.
create table taskq.history_default partition of taskq.history default;

insert into taskq.history (
    task_id,
    task_type,
    payload,
    queue,
    priority,
    created_at,
    attempts,
    errors,
    claimed_at,
    finished_at
)
select
    task_id,
    task_type,
    payload,
    queue,
    priority,
    created_at,
    attempts,
    errors,
    claimed_at,
    finished_at
from taskq.history_before;

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
    coalesce(held.payload_version, 0::smallint),
    null
from taskq.lease
cross join lateral unnest(
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
    lease.errors
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

drop table taskq.history_before;

-- Makes the partitions of the next two days and of those that went by without one, and drops those of
-- days that ended longer ago than `keep`. With its owner's rights, because a worker may write rows and
-- no definitions. One caller at a time; the others have nothing to do. Returns how many partitions
-- were dropped.
--
-- Never the partition of a day that is under way: a row of that day that is just on its way to the
-- default partition would be refused there. What finishes today on a day without one is moved
-- tomorrow.
create function taskq.prune_history(keep interval) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $prune$
declare
    dropped integer := 0;
    day date;
    partition record;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('taskq history taskq', 0)) then
        return 0;
    end if;
    for day in
        -- Shortly before midnight the next day counts as under way.
        select ((now() + interval '10 minutes') at time zone 'UTC')::date + ahead
        from generate_series(1, 2) as ahead
        union
        select distinct (finished_at at time zone 'UTC')::date
        from taskq.history_default
        where finished_at < date_trunc('day', now(), 'UTC')
    loop
        if to_regclass('taskq.history_' || to_char(day, 'YYYYMMDD')) is null then
            perform taskq.make_history_partition(day);
        end if;
    end loop;
    for partition in
        select child.relname
        from pg_inherits
        join pg_class as child on child.oid = inhrelid
        where inhparent = 'taskq.history'::regclass
          and child.relname ~ '^history_[0-9]{8}$'
          and (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'
            < now() - keep
    loop
        execute format('drop table taskq.%I', partition.relname);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$prune$;

-- Makes the partition of one day, and moves there what the default partition holds of it.
--
-- Nobody else opens the history meanwhile. A statement finds out which partitions there are, and then waits for the lock of
-- each: the rows that left one of them while it waited, for another that it does not know, would be nowhere for it. So the
-- history itself is locked, and before its partitions, as others do it.
create function taskq.make_history_partition(day date) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $make$
declare
    name text := 'history_' || to_char(day, 'YYYYMMDD');
    first timestamptz := day::timestamp at time zone 'UTC';
    last timestamptz := (day + 1)::timestamp at time zone 'UTC';
begin
    lock table only taskq.history in access exclusive mode;
    -- What others are just writing there must be seen below, or it stands in the partition's way.
    lock table taskq.history_default in access exclusive mode;
    execute format('create table taskq.%I (like taskq.history including defaults)', name);
    execute format(
        'with moved as (delete from taskq.history_default where finished_at >= $1 and finished_at < $2 returning *)
         insert into taskq.%I select * from moved', name
    ) using first, last;
    execute format(
        'alter table taskq.history attach partition taskq.%I for values from (%L) to (%L)',
        name, first, last
    );
end
$make$;

-- Nobody writes yet: today's too.
select taskq.make_history_partition((now() at time zone 'UTC')::date + ahead)
from generate_series(0, 1) as ahead;

-- Granted to workers only: see roles.sql.
revoke execute on function taskq.prune_history(interval) from public;
revoke execute on function taskq.make_history_partition(date) from public;

-- What became of tasks, by type: how many attempts ended in each way. A worker adds to it with each
-- heartbeat; what a killed worker had not added yet is missing.
create table taskq.counter (
    task_type text   not null,
    outcome   text   not null,
    total     bigint not null,
    constraint counter_pkey primary key (task_type, outcome)
) with (fillfactor = 50);

insert into taskq.migration (version, name, oldest_binary)
values (2, 'lanes', 2);

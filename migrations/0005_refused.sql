-- Gives a place to tasks that Postgres refuses to take back, and keeps ids from coming again.

-- Tasks that could not go where their outcomes sent them: a constraint, a trigger or an index in the way,
-- a text that the database cannot store. There is nothing here that could refuse a row: put no constraint,
-- trigger or unique index on this table.
create table taskq.refused (
    task_id         bigint,
    task_type       text,
    payload_version smallint,
    payload         jsonb,
    queue           text,
    priority        smallint,
    run_at          timestamptz,
    created_at      timestamptz,
    max_attempts    integer,
    attempts        integer,
    crashes         integer,
    errors          jsonb,
    metadata        jsonb,
    -- What Postgres said: {"outcome": ..., "code": ..., "message": ..., "detail": ..., "constraint": ...}.
    refusal         jsonb,
    refused_at      timestamptz default now()
);

create index refused_task_id on taskq.refused (task_id);

-- Puts off the first due task of a lane, if Postgres refuses to delete it, as a claim does: because of a foreign
-- key or a trigger of a user's, which may raise an error or keep the row in silence. It tries, and undoes what it
-- tried. Returns the task, what Postgres said, and whether it let it be put off at least; nothing if the task can be
-- claimed.
create function taskq.put_off(
    lane_queue text,
    lane_task_type text,
    lane_payload_version smallint,
    lane_crashes integer,
    lane_priority smallint,
    cursor_run_at timestamptz,
    cursor_task_id bigint,
    delay double precision
) returns table (task_id bigint, run_at timestamptz, refusal text, is_put_off boolean)
language plpgsql
as $put_off$
declare
    detail text;
begin
    select task.task_id, task.run_at
    into put_off.task_id, put_off.run_at
    from taskq.task
    where task.queue = lane_queue
      and task.task_type = lane_task_type
      and task.payload_version = lane_payload_version
      and task.crashes = lane_crashes
      and task.priority = lane_priority
      and (task.run_at, task.task_id) > (cursor_run_at, cursor_task_id)
      and task.run_at <= now()
    order by task.run_at, task.task_id
    limit 1
    for update skip locked;
    if not found then
        return;
    end if;
    begin
        set constraints all immediate;
        delete from taskq.task where task.task_id = put_off.task_id;
        if not found then
            raise exception 'a trigger or a rule keeps its row from being deleted';
        end if;
        raise exception using errcode = 'TASKQ', message = 'it can be claimed';
    exception
        when sqlstate 'TASKQ' then
            return;
        when others then
            get stacked diagnostics refusal = message_text, detail = pg_exception_detail;
            refusal := concat_ws(': ', refusal, nullif(detail, ''));
    end;
    begin
        update taskq.task
        set run_at = now() + make_interval(secs => delay),
            errors = taskq.with_error(
                task.errors,
                task.attempts + 1,
                'Postgres does not let it be claimed: ' || refusal
            )
        where task.task_id = put_off.task_id;
        is_put_off := found;
    exception
        when others then
            is_put_off := false;
    end;
    return next;
end
$put_off$;

-- Moves the sequence of ids past every id that a task has. It stands before one of them after a restore, on a
-- promoted subscriber, or after `truncate ... restart identity`. Returns the last id that is taken, or null if
-- the sequence was past it.
create function taskq.advance_ids() returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $advance_ids$
declare
    ids text := pg_get_serial_sequence('taskq.task', 'task_id');
    read_last text;
    last bigint;
    taken bigint;
begin
    -- One worker at a time: where many start at once, the others need not look too.
    if not pg_try_advisory_xact_lock(hashtextextended('taskq ids taskq', 0)) then
        return null;
    end if;
    read_last := format('select case when is_called then last_value else last_value - 1 end from %s', ids);
    execute read_last into last;
    -- Only what the sequence has not come to: the newest id of all is behind every entry of the index that has died
    -- since the last vacuum.
    select max(place.task_id) into taken
    from (
        (select task_id from taskq.task where task_id > last order by task_id desc limit 1)
        union all
        (select task_id from taskq.dead where task_id > last order by task_id desc limit 1)
        union all
        (select task_id from taskq.history where task_id > last order by task_id desc limit 1)
        union all
        (select task_id from taskq.refused where task_id > last order by task_id desc limit 1)
        union all
        select max(held.task_id) from taskq.lease cross join unnest(lease.task_ids) as held (task_id)
    ) as place;
    -- Again: it is past every id that was seen, unless it was set back.
    execute read_last into last;
    if taken > last then
        -- With room for what others insert at this moment: the sequence must not be set back.
        perform setval(ids, taken + 1000);
        return taken;
    end if;
    return null;
end
$advance_ids$;

-- Makes one partition of the history that is missing, or else drops one in which nothing is kept any longer, counts what was in
-- it, and returns its name; null if there is nothing to do, or somebody else is doing it. `keep` is for how long completed tasks
-- are kept of which nobody says it: see 0032_keep. One in each transaction: the locks of several are a deadlock with those who
-- read them in another order. Whoever wants the history waits behind this call while it waits for its lock, so it gives up soon.
--
-- Never the partition of a day that is under way: see taskq.prune_history, which older binaries call.
create function taskq.prune_history_day(keep interval) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $prune_day$
declare
    kept_for double precision := taskq.history_kept_for(keep);
    day date;
    partition text;
    counts jsonb;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('taskq history taskq', 0)) then
        return null;
    end if;
    select missing.day into day
    from (
        -- Shortly before midnight the next day counts as under way.
        select ((now() + interval '10 minutes') at time zone 'UTC')::date + ahead as day
        from generate_series(1, 2) as ahead
        union
        select distinct (finished_at at time zone 'UTC')::date
        from taskq.history_default
        where finished_at < date_trunc('day', now(), 'UTC')
    ) as missing
    where to_regclass('taskq.history_' || to_char(missing.day, 'YYYYMMDD')) is null
    order by missing.day
    limit 1;
    if found then
        perform taskq.make_history_partition(day);
        return 'history_' || to_char(day, 'YYYYMMDD');
    end if;
    if kept_for = 'infinity' then
        return null;
    end if;
    select child.relname into partition
    from pg_inherits
    join pg_class as child on child.oid = inhrelid
    where inhparent = 'taskq.history'::regclass
      and child.relname ~ '^history_[0-9]{8}$'
      and (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'
        < now() - make_interval(secs => kept_for)
      and not taskq.is_day_needed(child.relname, now() - make_interval(secs => kept_for))
    order by child.relname
    limit 1;
    if found then
        -- Before the lock that others wait for.
        execute format(
            'select coalesce(jsonb_agg(counted), ''[]'')
             from (
                 select task_type, ''completed'' as outcome, count(*) as total from taskq.%I group by task_type
             ) as counted',
            partition
        ) into counts;
        execute format('drop table taskq.%I', partition);
        perform taskq.count_pruned(counts);
    end if;
    return partition;
end
$prune_day$;

-- Granted to workers only: see roles.sql.
revoke execute on function taskq.prune_history_day(interval) from public;
revoke execute on function taskq.advance_ids() from public;

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
from taskq.history
union all
select
    task_id,
    task_type,
    'refused',
    queue,
    priority,
    payload,
    attempts,
    max_attempts,
    crashes,
    errors,
    created_at,
    run_at,
    null,
    refused_at,
    null,
    payload_version,
    null,
    metadata
from taskq.refused;

insert into taskq.migration (version, name, oldest_binary)
values (5, 'refused', 2);

-- Makes a place for schedules, which enqueue tasks by the calendar, and the functions that people ask of them.

-- What a schedule does, as a program declares it or as somebody has said it by hand. A program of another version may
-- declare another one of the same name. The later one, by its id, holds while a living worker declares it; one that
-- was said by hand holds before all others.
create table taskq.schedule_definition (
    definition_id   bigint      not null generated always as identity,
    name            text        not null,
    -- Until when it counts as declared, by which workers say that they are alive; null if it was said by hand.
    declared_until  timestamptz,
    made_at         timestamptz not null default now(),
    made_by         text        not null default session_user,
    -- Why, if they said so.
    reason          text,
    -- What makes two declarations the same.
    digest          text        not null,
    expression      text        not null,
    timezone        text        not null,
    task_type       text        not null,
    payload         jsonb       not null,
    -- As `enqueue` takes them.
    options         jsonb       not null,
    -- What becomes of ticks that were missed: 'none', 'once' or 'all'; and how many seconds ago they may have been.
    catch_up        text        not null,
    catch_up_within double precision,
    -- Whether a tick enqueues a task while the last one is still there: 'allow', 'skip' or 'one_waiting'.
    overlap         text        not null,
    -- How many seconds tasks start later at the most.
    jitter          double precision not null,
    constraint schedule_definition_pkey primary key (definition_id),
    constraint schedule_definition_name_length check (octet_length(name) between 1 and 200),
    constraint schedule_definition_task_type_length check (octet_length(task_type) between 1 and 200),
    constraint schedule_definition_expression_length check (octet_length(expression) <= 1000),
    constraint schedule_definition_timezone_length check (octet_length(timezone) between 1 and 100),
    constraint schedule_definition_options check (jsonb_typeof(options) = 'object'),
    constraint schedule_definition_catch_up check (catch_up in ('none', 'once', 'all')),
    constraint schedule_definition_catch_up_within check (
        catch_up_within > 0 and catch_up_within <= 3162240000
        and (catch_up <> 'none' or catch_up_within is null)
    ),
    constraint schedule_definition_overlap check (overlap in ('allow', 'skip', 'one_waiting')),
    constraint schedule_definition_jitter check (jitter >= 0 and jitter <= 3162240000)
);

create unique index schedule_definition_declared
on taskq.schedule_definition (name, digest) where declared_until is not null;
create index schedule_definition_name on taskq.schedule_definition (name, definition_id);

-- One row for each schedule: how far it has come. Any worker takes a tick, by locking the row and moving it on in the
-- transaction that enqueues the task.
create table taskq.schedule (
    name            text        not null,
    -- What it does now.
    definition_id   bigint      not null,
    -- Nothing up to here is owed any more: it was enqueued, or left out, or was before the schedule.
    owed_after      timestamptz not null default now(),
    -- When the next tick is; null if a worker has to find out.
    next_tick       timestamptz,
    -- Rises with each change, so that nobody writes what he has found of an older one.
    revision        bigint      not null default 0,
    -- Since when no living worker declares it. Nothing that was missed before it comes back is owed.
    ended_at        timestamptz,
    -- The last tick that enqueued a task, by its nominal time, and the tasks that may still be there.
    last_tick       timestamptz,
    last_task_ids   bigint[]    not null default '{}',
    ticks           bigint      not null default 0,
    -- When somebody had it run by hand, if ever, and the task of that.
    ran_at          timestamptz,
    ran_task_id     bigint,
    -- Ticks that enqueued nothing: because they were missed, and because a task before them was still there.
    skipped_missed  bigint      not null default 0,
    skipped_overlap bigint      not null default 0,
    -- Why the last try failed.
    error           text,
    error_at        timestamptz,
    -- Which ticks were left out last, and why: five stretches at the most, the newest last.
    skips           jsonb       not null default '[]',
    constraint schedule_pkey primary key (name),
    constraint schedule_skips check (jsonb_typeof(skips) = 'array')
);

-- Each worker asks when the next tick is.
create index schedule_next_tick on taskq.schedule (next_tick nulls first) where ended_at is null;

-- Those that ended long ago are forgotten.
create index schedule_ended_at on taskq.schedule (ended_at) where ended_at is not null;

-- A pause may be of a schedule, too. What stands here, no program touches.
alter table taskq.pause
    drop constraint pause_scope,
    add constraint pause_scope check (scope in ('queue', 'task_type', 'schedule'));

-- Has workers find out when the next tick is.
create function taskq.tell_schedules() returns trigger
language plpgsql
as $tell$
begin
    perform pg_catalog.pg_notify(tg_table_schema || '.operator', 'schedules');
    return null;
end
$tell$;

create trigger tell_new_schedules
after insert on taskq.schedule
for each row when (new.next_tick is null)
execute function taskq.tell_schedules();

create trigger tell_schedules
after update on taskq.schedule
for each row when (new.next_tick is null and new.ended_at is null and new.revision <> old.revision)
execute function taskq.tell_schedules();

-- A tick that is being taken is over before a pause is said, and none is taken after it.
create function taskq.pause_schedule_row() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $pause$
begin
    update taskq.schedule
    set revision = schedule.revision + 1
    where schedule.name = new.name;
    return null;
end
$pause$;

-- Returns `skips` with one more stretch, if it has ticks. Ticks that were left out because of one task are one stretch.
-- `number` is null where nobody has counted them.
create function taskq.with_skip(
    skips jsonb,
    why text,
    number bigint,
    from_at timestamptz,
    to_at timestamptz,
    task_id bigint default null
) returns jsonb
language sql
stable
as $with_skip$
select case
    when number = 0 then skips
    when (skips -> -1 ->> 'task_id')::bigint = task_id then jsonb_set(
        skips,
        '{-1}',
        skips -> -1 || jsonb_build_object('number', (skips -> -1 ->> 'number')::bigint + number, 'to', to_at)
    )
    else (
        select jsonb_agg(kept.skip order by kept.place)
        from (
            select skip, place
            from jsonb_array_elements(
                skips || jsonb_build_object('why', why, 'number', number, 'from', from_at, 'to', to_at, 'task_id', task_id)
            ) with ordinality as all_of_them (skip, place)
            order by place desc
            limit 5
        ) as kept
    )
end
$with_skip$;

-- What came while a schedule was paused is not owed.
create function taskq.resume_schedule_row() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $resume$
begin
    update taskq.schedule
    set owed_after = greatest(schedule.owed_after, least(now(), old.until)),
        next_tick = null,
        revision = schedule.revision + 1,
        skips = case
            when schedule.next_tick < least(now(), old.until)
                then taskq.with_skip(schedule.skips, 'paused', null, old.since, least(now(), old.until))
            else schedule.skips
        end
    where schedule.name = old.name;
    return null;
end
$resume$;

create trigger pause_schedule_row
after insert or update on taskq.pause
for each row when (new.scope = 'schedule')
execute function taskq.pause_schedule_row();

create trigger resume_schedule_row
after delete on taskq.pause
for each row when (old.scope = 'schedule')
execute function taskq.resume_schedule_row();

create function taskq.pause_schedule(
    name text,
    reason text default null,
    until timestamptz default null,
    by text default session_user
) returns setof taskq.pause
language sql
rows 1
as $pause$
select * from taskq.put_pause('schedule', name, reason, until, by)
$pause$;

create function taskq.resume_schedule(
    name text,
    reason text default null,
    by text default session_user
) returns setof taskq.pause
language sql
rows 1
as $resume$
select * from taskq.end_pause('schedule', name, reason, by)
$resume$;

-- Enqueues the task of one tick.
create function taskq.enqueue_tick(
    definition taskq.schedule_definition,
    nominal timestamptz,
    run_at timestamptz
) returns table (task_id bigint, outcome text)
language sql
rows 1
as $enqueue_tick$
select task.task_id, task.outcome
from taskq.enqueue(
    definition.task_type,
    definition.payload,
    definition.options || jsonb_build_object(
        'run_at', run_at,
        'metadata', coalesce(definition.options -> 'metadata', '{}') || jsonb_build_object(
            'schedule.tick', jsonb_build_object('schedule', definition.name, 'at', nominal)
        )
    )
) as task
$enqueue_tick$;

-- Returns whether no worker can read when a schedule ticks: one has said so, and none has found out.
create function taskq.is_unreadable(schedule taskq.schedule) returns boolean
language sql
immutable
return schedule.next_tick is null and schedule.error is not null;

-- Has the definitions hold that are to hold now: of each name the one that was said by hand, or else the latest that a
-- living worker declares. Nothing before a change of the times is owed, unless no worker could read what held before:
-- then the schedule stood still, and owes what has come since. Returns how many schedules have changed.
create function taskq.choose_definitions(names text[]) returns bigint
language sql
as $choose$
with chosen as materialized (
    select distinct on (definition.name) definition.*
    from taskq.schedule_definition as definition
    where definition.name = any (names)
      and (definition.declared_until is null or definition.declared_until > now())
    order by definition.name, definition.declared_until is null desc, definition.definition_id desc
),
written as (
    insert into taskq.schedule as held (name, definition_id)
    select chosen.name, chosen.definition_id
    from chosen
    -- Those that hold already are not even locked: a tick would be skipped.
    where not exists (
        select
        from taskq.schedule as current
        where current.name = chosen.name
          and current.definition_id = chosen.definition_id
          and current.ended_at is null
    )
    order by chosen.name
    on conflict on constraint schedule_pkey do update
    set definition_id = excluded.definition_id,
        owed_after = case
            when held.ended_at is null and taskq.is_unreadable(held) then held.owed_after
            when held.ended_at is not null or (
                select format('%s %s', old.expression, old.timezone)
                from taskq.schedule_definition as old
                where old.definition_id = held.definition_id
            ) is distinct from (
                select format('%s %s', new.expression, new.timezone)
                from taskq.schedule_definition as new
                where new.definition_id = excluded.definition_id
            ) then greatest(held.owed_after, now())
            else held.owed_after
        end,
        next_tick = null,
        revision = held.revision + 1,
        ended_at = null,
        error = null,
        error_at = null
    where held.definition_id <> excluded.definition_id
       or held.ended_at is not null
    returning 1
)
select count(*) from written
$choose$;

-- Says that a living worker declares schedules, for so many seconds. `definitions` has an object for each name, with
-- what its columns are to be. Returns how many schedules have changed.
create function taskq.declare_schedules(
    names text[],
    definitions jsonb[],
    seconds double precision
) returns bigint
language plpgsql
as $declare$
begin
    insert into taskq.schedule_definition as held (
        name,
        declared_until,
        digest,
        expression,
        timezone,
        task_type,
        payload,
        options,
        catch_up,
        catch_up_within,
        overlap,
        jitter
    )
    select
        given.name,
        now() + make_interval(secs => seconds),
        md5(given.definition::text),
        given.definition ->> 'expression',
        given.definition ->> 'timezone',
        given.definition ->> 'task_type',
        given.definition -> 'payload',
        given.definition -> 'options',
        given.definition ->> 'catch_up',
        (given.definition ->> 'catch_up_within')::double precision,
        given.definition ->> 'overlap',
        (given.definition ->> 'jitter')::double precision
    from unnest(names, definitions) as given (name, definition)
    order by given.name
    on conflict (name, digest) where declared_until is not null do update
    set declared_until = excluded.declared_until
    -- Many workers may declare it.
    where held.declared_until < now() + make_interval(secs => seconds * 0.75);
    return taskq.choose_definitions(names);
end
$declare$;

-- Makes a schedule, or changes it, whoever has made it: what is said here holds until `remove_schedule`. A worker
-- finds out when it ticks; if it cannot read the expression or the zone, it says so in `error`. Nothing before now is
-- owed, unless the times stay the same. Returns 'created', 'changed' or 'unchanged'; or 'mended', where no worker could
-- read what held before: then what was missed since that was said is made up, as `catch_up` says.
--
-- `options`: "catch_up", "catch_up_within", "overlap" and "jitter", and those of `enqueue` but for times.
create function taskq.upsert_schedule(
    name text,
    expression text,
    task_type text,
    payload jsonb default '{}',
    timezone text default 'UTC',
    options jsonb default '{}',
    reason text default null,
    by text default session_user
) returns text
language plpgsql
as $upsert$
declare
    own constant text[] := array['catch_up', 'catch_up_within', 'overlap', 'jitter'];
    definition constant jsonb := jsonb_build_object(
        'expression', expression,
        'timezone', timezone,
        'task_type', task_type,
        'payload', payload,
        'options', options
    );
    is_new boolean;
    was_unreadable boolean;
    new_id bigint;
    wrong text;
    problem text;
begin
    perform taskq.require_said(upsert_schedule.reason, upsert_schedule.by);
    if jsonb_typeof(upsert_schedule.options) <> 'object' then
        raise exception 'the options must be a JSON object, not %', upsert_schedule.options
            using errcode = 'invalid_parameter_value';
    end if;
    select given into wrong
    from jsonb_object_keys(upsert_schedule.options) as given
    where given <> all (own)
      and given <> all (array[
          'queue', 'priority', 'max_attempts', 'expires', 'metadata', 'payload_version',
          'unique', 'unique_key', 'unique_fields', 'until', 'within', 'on_conflict',
          'at_latest'
      ])
    order by given
    limit 1;
    problem := case
        when coalesce(octet_length(upsert_schedule.name), 0) not between 1 and 200
            then 'the name of a schedule has 1 to 200 bytes'
        when coalesce(octet_length(upsert_schedule.task_type), 0) not between 1 and 200
            then 'the name of a task type has 1 to 200 bytes'
        when coalesce(btrim(upsert_schedule.expression), '') = ''
            then 'a schedule needs a cron expression, such as 0 3 * * * for three o''clock each night'
        when octet_length(upsert_schedule.expression) > 1000
            then 'a cron expression has at most 1000 bytes'
        when coalesce(octet_length(upsert_schedule.timezone), 0) not between 1 and 100
            then 'a schedule needs a time zone, such as Europe/Zurich or UTC'
        when upsert_schedule.payload is null
            then 'a schedule needs a payload, if only {}'
        when wrong in ('run_at', 'delay', 'debounce')
            then format('a schedule has no option "%s": its expression says when', wrong)
        when wrong is not null
            then format('there is no option "%s"', wrong)
        when coalesce(upsert_schedule.options ->> 'catch_up', 'once') not in ('none', 'once', 'all')
            then format('unknown catch_up "%s": it is none, once or all', upsert_schedule.options ->> 'catch_up')
        when upsert_schedule.options ? 'catch_up_within' and upsert_schedule.options ->> 'catch_up' = 'none'
            then '"catch_up_within" is for "catch_up": "once" or "all"'
        when taskq.option_seconds('catch_up_within', upsert_schedule.options -> 'catch_up_within') = 0
            then 'the option "catch_up_within" must be longer than nothing'
        when coalesce(upsert_schedule.options ->> 'overlap', 'allow') not in ('allow', 'skip', 'one_waiting')
            then format('unknown overlap "%s": it is allow, skip or one_waiting', upsert_schedule.options ->> 'overlap')
    end;
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;

    -- Whoever says something of the same name at the same time waits here.
    insert into taskq.schedule as held (name, definition_id)
    values (upsert_schedule.name, 0)
    on conflict on constraint schedule_pkey do update
    set revision = held.revision
    returning held.definition_id = 0, taskq.is_unreadable(held)
    into is_new, was_unreadable;
    if exists (
        select
        from taskq.schedule_definition as said
        where said.name = upsert_schedule.name
          and said.declared_until is null
          and said.digest = md5(definition::text)
    ) then
        return 'unchanged';
    end if;
    insert into taskq.schedule_definition (
        name,
        made_by,
        reason,
        digest,
        expression,
        timezone,
        task_type,
        payload,
        options,
        catch_up,
        catch_up_within,
        overlap,
        jitter
    )
    values (
        upsert_schedule.name,
        coalesce(upsert_schedule.by, session_user),
        upsert_schedule.reason,
        md5(definition::text),
        btrim(upsert_schedule.expression),
        upsert_schedule.timezone,
        upsert_schedule.task_type,
        upsert_schedule.payload,
        upsert_schedule.options - own,
        coalesce(upsert_schedule.options ->> 'catch_up', 'once'),
        coalesce(
            taskq.option_seconds('catch_up_within', upsert_schedule.options -> 'catch_up_within'),
            case upsert_schedule.options ->> 'catch_up' when 'all' then 86400 end
        ),
        coalesce(upsert_schedule.options ->> 'overlap', 'allow'),
        coalesce(taskq.option_seconds('jitter', upsert_schedule.options -> 'jitter'), 0)
    )
    returning definition_id
    into new_id;
    perform taskq.choose_definitions(array[upsert_schedule.name]);
    delete from taskq.schedule_definition as said
    where said.name = upsert_schedule.name
      and said.declared_until is null
      and said.definition_id <> new_id;
    return case
        when is_new then 'created'
        when was_unreadable and upsert_schedule.options ->> 'catch_up' is distinct from 'none' then 'mended'
        else 'changed'
    end;
end
$upsert$;

-- Takes back what was said of a schedule by hand. If a program declares it, that holds again; otherwise the schedule is
-- gone. Returns 'removed', 'reset', or 'absent'; or 'mended', where it holds again, and no worker could read what was said by
-- hand: then what was missed since that was said is made up, as `catch_up` says.
create function taskq.remove_schedule(name text, reason text default null, by text default session_user) returns text
language plpgsql
as $remove$
declare
    was_said boolean;
    was_unreadable boolean;
    is_declared boolean;
    was text;
begin
    select taskq.is_unreadable(schedule)
    into was_unreadable
    from taskq.schedule
    where schedule.name = remove_schedule.name
    for update;
    if not found then
        return 'absent';
    end if;
    delete from taskq.schedule_definition as said
    where said.name = remove_schedule.name
      and said.declared_until is null
    returning format('%s %s, %s', said.expression, said.timezone, said.task_type)
    into was;
    was_said := found;
    is_declared := exists (
        select
        from taskq.schedule_definition as said
        where said.name = remove_schedule.name
          and said.declared_until > now()
    );
    if is_declared and not was_said then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('a program declares the schedule %s: pause it, or remove it there', remove_schedule.name);
    end if;
    perform taskq.write_down(
        case when is_declared then 'undo' else 'remove' end,
        'schedule',
        remove_schedule.name,
        was,
        remove_schedule.reason,
        remove_schedule.by
    );
    if is_declared then
        perform taskq.choose_definitions(array[remove_schedule.name]);
        return case
            when was_unreadable and exists (
                select
                from taskq.schedule
                join taskq.schedule_definition as definition using (definition_id)
                where schedule.name = remove_schedule.name
                  and definition.catch_up <> 'none'
            ) then 'mended'
            else 'reset'
        end;
    end if;
    delete from taskq.schedule_definition as said where said.name = remove_schedule.name;
    delete from taskq.schedule where schedule.name = remove_schedule.name;
    if exists (select from taskq.pause where pause.scope = 'schedule' and pause.name = remove_schedule.name) then
        delete from taskq.pause where pause.scope = 'schedule' and pause.name = remove_schedule.name;
    end if;
    return 'removed';
end
$remove$;

-- Enqueues the tasks of these ticks, whatever has become of them before, paused or not. The schedule itself goes on as if
-- nothing had been said. Returns the ids of the tasks.
create function taskq.backfill_schedule(
    name text,
    nominals timestamptz[],
    reason text default null,
    by text default session_user
) returns bigint[]
language plpgsql
-- An operator may have a schedule run, and may enqueue nothing else.
security definer
set search_path = pg_catalog, pg_temp
as $backfill$
declare
    definition taskq.schedule_definition;
    ids bigint[];
begin
    if cardinality(nominals) > 1000 then
        raise exception 'a call enqueues at most 1000 ticks, not %: take shorter spans', cardinality(nominals)
            using errcode = 'invalid_parameter_value';
    end if;
    if now() < any (nominals) then
        raise exception 'ticks are still to come: a backfill ends in the past'
            using errcode = 'invalid_parameter_value';
    end if;
    perform from taskq.schedule where schedule.name = backfill_schedule.name for update;
    select said.*
    into definition
    from taskq.schedule
    join taskq.schedule_definition as said using (definition_id)
    where schedule.name = backfill_schedule.name;
    if not found then
        raise exception 'there is no schedule %', backfill_schedule.name
            using errcode = 'invalid_parameter_value';
    end if;
    select array_agg(task.task_id order by given.place)
    into ids
    from (
        select tick.nominal, tick.place
        from unnest(nominals) with ordinality as tick (nominal, place)
        order by tick.place
    ) as given
    cross join lateral taskq.enqueue_tick(definition, given.nominal, now()) as task;
    update taskq.schedule
    set last_task_ids = case definition.overlap
            when 'allow' then schedule.last_task_ids
            else array(
                select last.task_id
                from unnest(schedule.last_task_ids || ids) as last (task_id)
                where taskq.where_is(last.task_id) is not null
            )
        end,
        ran_at = case when ids is null then schedule.ran_at else now() end,
        ran_task_id = coalesce(ids[cardinality(ids)], schedule.ran_task_id)
    where schedule.name = backfill_schedule.name;
    perform taskq.write_down(
        case when nominals = array[now()] then 'run' else 'backfill' end,
        'schedule',
        backfill_schedule.name,
        case
            when nominals <> array[now()] then format(
                '%s %s, the last of %s',
                coalesce(cardinality(ids), 0),
                case cardinality(ids) when 1 then 'tick' else 'ticks' end,
                to_char(nominals[cardinality(nominals)] at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
            )
        end,
        backfill_schedule.reason,
        backfill_schedule.by,
        ids[1],
        definition.task_type
    );
    return coalesce(ids, '{}');
end
$backfill$;

-- Enqueues a task of a schedule now, paused or not, and returns its id. The schedule itself goes on as if nothing had
-- been said.
create function taskq.run_schedule(name text, reason text default null, by text default session_user) returns bigint
language sql
as $run$
select (taskq.backfill_schedule(name, array[now()], reason, by))[1]
$run$;

-- For operators and workers: see roles.sql.
revoke execute on function taskq.backfill_schedule from public;

insert into taskq.migration (version, name, oldest_binary)
values (10, 'schedules', 2);

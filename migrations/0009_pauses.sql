-- Makes a place for pauses: queues and task types of which nothing starts, because an operator said so. taskq.write_down
-- records what operators say: see 0017_operate.sql.

-- One row for each queue or task type that is paused, also for one that nobody has seen yet. No program writes here
-- unless an operator tells it to.
create table taskq.pause (
    -- What the name is of: queue or task_type.
    scope  text        not null,
    name   text        not null,
    since  timestamptz not null default now(),
    by     text        not null default session_user,
    reason text,
    -- When the pause ends by itself. Its row stays until somebody pauses something, or resumes this.
    until  timestamptz,
    constraint pause_pkey primary key (scope, name),
    constraint pause_scope check (scope in ('queue', 'task_type')),
    constraint pause_name_length check (octet_length(name) between 1 and 200),
    constraint pause_by_length check (octet_length(by) between 1 and 200),
    constraint pause_reason_length check (octet_length(reason) <= 10000),
    constraint pause_since_range check (since >= '0001-01-01 00:00+00' and since < '10000-01-01 00:00+00'),
    constraint pause_until_range check (until >= '0001-01-01 00:00+00' and until < '10000-01-01 00:00+00')
);

-- Every scan reads it, whatever role makes it.
grant select on taskq.pause to public;

-- Has workers read what is paused. A message is lost if nobody listens; then the next scan reads it.
create function taskq.tell_pauses() returns trigger
language plpgsql
as $tell$
begin
    perform pg_catalog.pg_notify(tg_table_schema || '.operator', 'pauses');
    return null;
end
$tell$;

create trigger tell_pauses
after insert or update or delete or truncate on taskq.pause
for each statement execute function taskq.tell_pauses();

-- Pauses a queue or a task type, and returns the pause that held before, if one did. If one did, the new one is since
-- then; all else of it is new. Pauses that have ended are forgotten.
create function taskq.put_pause(
    scope text,
    name text,
    reason text,
    until timestamptz,
    by text
) returns setof taskq.pause
language plpgsql
rows 1
as $put$
begin
    if coalesce(octet_length(put_pause.name), 0) not between 1 and 200 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('the name of a %s has 1 to 200 bytes', replace(put_pause.scope, '_', ' '));
    end if;
    if octet_length(put_pause.reason) > 10000 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'the reason of a pause has at most 10000 bytes';
    end if;
    if octet_length(put_pause.by) not between 1 and 200 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'the name of who pauses has 1 to 200 bytes';
    end if;
    if put_pause.until <= now() then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('a pause until %s would be over already: give a time to come, or none', put_pause.until);
    end if;
    if put_pause.until >= '10000-01-01 00:00+00' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a pause ends before the year 10000: give no time for one that does not end by itself';
    end if;
    delete from taskq.pause where pause.until <= now();
    return query
    select pause.*
    from taskq.pause
    where pause.scope = put_pause.scope
      and pause.name = put_pause.name
    for update;
    insert into taskq.pause as held (scope, name, reason, until, by)
    values (
        put_pause.scope,
        put_pause.name,
        put_pause.reason,
        put_pause.until,
        coalesce(put_pause.by, session_user)
    )
    on conflict on constraint pause_pkey do update
    set reason = excluded.reason,
        until = excluded.until,
        by = excluded.by;
end
$put$;

-- Ends the pause of a queue or a task type, and returns it, if it held.
create function taskq.end_pause(
    scope text,
    name text,
    reason text default null,
    by text default session_user
) returns setof taskq.pause
language plpgsql
rows 1
as $end$
begin
    return query
    with ended as (
        delete from taskq.pause
        where pause.scope = end_pause.scope
          and pause.name = end_pause.name
        returning pause.*
    )
    select ended.*
    from ended
    where ended.until is null
       or ended.until > now();
    if found then
        perform taskq.write_down('resume', end_pause.scope, end_pause.name, null, end_pause.reason, end_pause.by);
    end if;
end
$end$;

-- For people. Each may be said twice, and returns the pause that held before, if one did.
create function taskq.pause_queue(
    queue text,
    reason text default null,
    until timestamptz default null,
    by text default session_user
) returns setof taskq.pause
language sql
rows 1
as $pause$
select * from taskq.put_pause('queue', queue, reason, until, by)
$pause$;

create function taskq.pause_task_type(
    task_type text,
    reason text default null,
    until timestamptz default null,
    by text default session_user
) returns setof taskq.pause
language sql
rows 1
as $pause$
select * from taskq.put_pause('task_type', task_type, reason, until, by)
$pause$;

create function taskq.resume_queue(
    queue text,
    reason text default null,
    by text default session_user
) returns setof taskq.pause
language sql
rows 1
as $resume$
select * from taskq.end_pause('queue', queue, reason, by)
$resume$;

create function taskq.resume_task_type(
    task_type text,
    reason text default null,
    by text default session_user
) returns setof taskq.pause
language sql
rows 1
as $resume$
select * from taskq.end_pause('task_type', task_type, reason, by)
$resume$;

insert into taskq.migration (version, name, oldest_binary)
values (9, 'pauses', 2);

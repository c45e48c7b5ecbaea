-- Says all that is wrong: with workers and schedules, and what 0028_ailments.sql and 0029_server.sql find.

-- Returns whether workers are missing: none is alive, one has vanished, or nobody rescues what one has left.
create function taskq.ail_workers() returns setof taskq.ailment
language sql
stable
as $ail_workers$
    select
        'no worker',
        'error',
        'worker',
        'no worker is alive'
            || case
                when last.worker_id is null then ': none was started, or each has stopped'
                else format(
                    ': the last one, process %s on %s, was seen %s ago',
                    last.process_id,
                    last.host,
                    taskq.in_words(now() - last.seen_at)
                )
            end,
        'start one, and see in its log why the last one ended',
        null,
        null
    from (values (1)) as always
    left join lateral (
        select worker.*
        from taskq.worker
        order by worker.seen_at desc
        limit 1
    ) as last on true
    where not exists (select from taskq.worker where worker.expires_at > now())
    union all
    select
        'vanished worker',
        'warning',
        worker.worker_id::text,
        format(
            'the worker in process %s on %s was last seen %s ago and has not said that it stopped',
            worker.process_id,
            worker.host,
            taskq.in_words(now() - worker.seen_at)
        ) || taskq.and_others(worker.place, worker.number)
            || case
                when held.tasks > 0 then format(
                    '; %s of its tasks %s to be rescued',
                    taskq.grouped(held.tasks),
                    taskq.one_or_many(held.tasks, 'waits', 'wait')
                )
                else ''
            end,
        'see in its log or in that of the system why it ended; what it ran runs again by itself, within a minute, if another '
            || 'worker lives',
        case when held.tasks is null then 'forget-worker ' || worker.worker_id end,
        case when held.tasks is null then format('select taskq.forget_worker(%L)', worker.worker_id) end
    from (
        select
            silent.*,
            row_number() over (order by silent.seen_at desc, silent.worker_id) as place,
            count(*) over () as number
        from taskq.worker as silent
        where silent.expires_at <= now()
    ) as worker
    cross join lateral (
        select sum(cardinality(lease.task_ids) - cardinality(lease.done)) as tasks
        from taskq.lease
        where lease.worker_id = worker.worker_id
    ) as held
    where worker.place <= 5
    union all
    select
        'lease',
        'error',
        'lease',
        format(
            '%s %s more than a minute ago, and nobody has rescued %s',
            taskq.counted(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 'task'),
            taskq.one_or_many(
                sum(cardinality(lease.task_ids) - cardinality(lease.done)),
                'is in a lease that ended',
                'are in leases that ended'
            ),
            taskq.one_or_many(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 'it', 'them')
        ),
        'start a worker: within a minute each rescues what others have left; if one lives, its log says why it does not',
        null,
        null
    from taskq.lease
    where lease.expires_at < now() - interval '1 minute'
    having count(*) > 0
$ail_workers$;

-- Returns which schedules are late, or cannot tick.
create function taskq.ail_schedules() returns setof taskq.ailment
language sql
stable
as $ail_schedules$
    select
        'schedule',
        'error',
        schedule.name,
        case
            when schedule.next_tick < now() - interval '1 minute' then format(
                'schedule %s is late: it should have ticked %s ago%s',
                schedule.name,
                taskq.in_words(now() - schedule.next_tick),
                '; the last error: ' || schedule.error
            )
            when taskq.is_unreadable(schedule) then format(
                'schedule %s does not tick: for %s no worker has been able to read it: %s',
                schedule.name,
                taskq.in_words(now() - schedule.error_at),
                schedule.error
            )
            else format(
                'schedule %s could not tick %s ago: %s',
                schedule.name,
                taskq.in_words(now() - schedule.error_at),
                schedule.error
            )
        end,
        case
            when schedule.error is null
                then 'a worker with the feature cron has each schedule tick: start one, or see in its log why it does not; '
                    || 'run it by hand meanwhile'
            when definition.declared_until is null and not exists (
                select
                from taskq.schedule_definition as declared
                where declared.name = schedule.name
                  and declared.declared_until > now()
            ) then format('correct it, or remove the schedule, which %s made by hand: no program declares it', definition.made_by)
            when definition.declared_until is null then format(
                'correct it, or undo the change that %s made by hand: then what a program declares holds again%s',
                definition.made_by,
                case
                    when taskq.is_unreadable(schedule) then ', and what was missed is made up as it says'
                end
            )
            else 'mend what the error names, and run it by hand meanwhile'
        end,
        case
            when schedule.error is not null and definition.declared_until is null then 'schedules remove '
            else 'schedules run '
        end || taskq.as_word(schedule.name),
        format(
            case
                when schedule.error is not null and definition.declared_until is null then 'select taskq.remove_schedule(%L)'
                else 'select taskq.run_schedule(%L)'
            end,
            schedule.name
        )
    from taskq.schedule
    join taskq.schedule_definition as definition using (definition_id)
    where schedule.ended_at is null
      and (schedule.next_tick < now() - interval '1 minute' or schedule.error is not null)
      and not exists (
          select
          from taskq.pause
          where pause.scope = 'schedule'
            and pause.name = schedule.name
            and (pause.until is null or pause.until > now())
      )
$ail_schedules$;

-- Trouble that somebody knows of and leaves as it is. It counts again when `until` is over, and where it has become better or
-- worse.
create table taskq.acknowledged (
    problem  text        not null,
    subject  text        not null,
    severity text        not null,
    at       timestamptz not null default now(),
    by       text        not null,
    reason   text,
    until    timestamptz,
    constraint acknowledged_pkey primary key (problem, subject),
    constraint acknowledged_severity check (severity in ('error', 'warning')),
    constraint acknowledged_names check (octet_length(problem) between 1 and 100 and octet_length(subject) between 1 and 1000),
    constraint acknowledged_until_range check (until >= '0001-01-01 00:00+00' and until < '10000-01-01 00:00+00')
);

-- Says that somebody knows of a trouble and leaves it as it is, until a time or for good. Its problem, subject and severity are
-- those that the doctor says; if the severity becomes another, it is trouble again.
create function taskq.acknowledge(
    problem text,
    subject text,
    severity text,
    until timestamptz default null,
    reason text default null,
    by text default session_user
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $acknowledge$
declare
    wrong constant text := case
        when octet_length(acknowledge.problem) between 1 and 100 and octet_length(acknowledge.subject) between 1 and 1000 then null
        else 'say which problem, and of what: the doctor has both'
    end;
begin
    perform taskq.require_said(acknowledge.reason, acknowledge.by);
    if wrong is not null or coalesce(acknowledge.severity, '') not in ('error', 'warning') then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = coalesce(wrong, 'the severity is error or warning');
    end if;
    if acknowledge.until <= now() or acknowledge.until >= '10000-01-01 00:00+00' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('%s is over, or never comes: give a time to come, or none', acknowledge.until);
    end if;
    delete from taskq.acknowledged where acknowledged.until <= now();
    insert into taskq.acknowledged (problem, subject, severity, by, reason, until)
    values (
        acknowledge.problem,
        acknowledge.subject,
        acknowledge.severity,
        coalesce(acknowledge.by, session_user),
        acknowledge.reason,
        acknowledge.until
    )
    on conflict on constraint acknowledged_pkey do update
    set severity = excluded.severity,
        at = excluded.at,
        by = excluded.by,
        reason = excluded.reason,
        until = excluded.until;
    perform taskq.write_down(
        'acknowledge',
        'trouble',
        format('%s: %s', acknowledge.problem, acknowledge.subject),
        acknowledge.severity || coalesce(' until ' || acknowledge.until, ''),
        acknowledge.reason,
        acknowledge.by
    );
end
$acknowledge$;

-- Has what was acknowledged count as trouble again. Returns whether it was acknowledged.
create function taskq.unacknowledge(
    problem text,
    subject text,
    reason text default null,
    by text default session_user
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $unacknowledge$
begin
    perform taskq.require_said(unacknowledge.reason, unacknowledge.by);
    delete from taskq.acknowledged
    where acknowledged.problem = unacknowledge.problem
      and acknowledged.subject = unacknowledge.subject;
    if not found then
        return false;
    end if;
    perform taskq.write_down(
        'unacknowledge',
        'trouble',
        format('%s: %s', unacknowledge.problem, unacknowledge.subject),
        null,
        unacknowledge.reason,
        unacknowledge.by
    );
    return true;
end
$unacknowledge$;

revoke execute on function taskq.acknowledge from public;
revoke execute on function taskq.unacknowledge from public;

-- Returns what is wrong, errors first: `said` in plain words, and what to do. No row: nothing that it knows of. It reads
-- no more than some thousand rows of each kind, and changes nothing. A transaction may be open for as long as `patience`. What
-- somebody has acknowledged comes last, with who, when, why and until when.
create function taskq.doctor(patience interval default '5 minutes') returns table (
    problem text,
    severity text,
    subject text,
    said text,
    advice text,
    command text,
    statement text,
    acknowledged jsonb
)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
-- A session plans it once: that is a fifth of what it takes.
set plan_cache_mode = force_generic_plan
as $doctor$
#variable_conflict use_column
begin
    return query
    select found.*, to_jsonb(known) - array['problem', 'subject', 'severity']
    from (
        select * from taskq.ail_tasks(10000)
        union all
        select * from taskq.ail_workers()
        union all
        select * from taskq.ail_dead()
        union all
        select * from taskq.ail_stopped()
        union all
        select * from taskq.ail_schedules()
        union all
        select * from taskq.ail_attempts()
        union all
        select * from taskq.ail_limits()
        union all
        select * from taskq.ail_groups()
        union all
        select * from taskq.ail_pace(doctor.patience, 10000)
        union all
        select * from taskq.ail_horizon(doctor.patience)
        union all
        select * from taskq.ail_tables()
        union all
        select * from taskq.ail_plan()
        union all
        select * from taskq.ail_connections()
        union all
        select * from taskq.ail_settings()
        union all
        select * from taskq.ail_rights()
        union all
        select * from taskq.ail_kept()
    ) as found
    left join taskq.acknowledged as known
      on known.problem = found.problem
     and known.subject = found.subject
     and known.severity = found.severity
     and (known.until is null or known.until > now())
    -- What holds tasks back stands before what came of it. No two change places from one look to the next.
    order by known.problem is not null, found.severity, found.problem = 'dead', found.problem, found.subject, found.statement;
end
$doctor$;

insert into taskq.migration (version, name, oldest_binary)
select 30, 'doctor', max(oldest_binary) from taskq.migration;

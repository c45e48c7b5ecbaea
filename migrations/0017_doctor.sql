-- Says in plain words what is wrong, and what to do about it: in words that are true for every face of taskq, and, where one
-- sentence mends it, that sentence as the command line takes it (`command`) and as SQL (`statement`).

-- Returns an interval as people say it, in its largest unit.
create function taskq.in_words(span interval) returns text
language sql
immutable
parallel safe
return (
    select case
        when seconds < 120 then greatest(seconds, 0) || ' s'
        when seconds < 7200 then seconds / 60 || ' minutes'
        when seconds < 172800 then seconds / 3600 || ' hours'
        else seconds / 86400 || ' days'
    end
    from (select extract(epoch from in_words.span)::bigint as seconds) as given
);

-- Returns a number that was counted up to a limit only.
create function taskq.up_to(number bigint, most bigint) returns text
language sql
immutable
parallel safe
return case when number >= most then 'at least ' || most else number::text end;

-- Returns a text as one word of a shell.
create function taskq.as_word(said text) returns text
language sql
immutable
parallel safe
return case
    when said ~ '^[A-Za-z0-9_./:@%+,=-]+$' then said
    else '''' || replace(said, '''', '''\''''') || ''''
end;

-- Returns a name as the value of a term of a filter.
create function taskq.as_value(name text) returns text
language sql
immutable
parallel safe
return case
    when name ~ '^[A-Za-z0-9_./:@%+=-]+$' then name
    else '"' || replace(replace(replace(replace(name, '\', '\\'), '*', '\*'), '\', '\\'), '"', '\"') || '"'
end;

-- Returns what is wrong with waiting tasks, by queue and task type: nobody runs them, or an operator stopped them. Counts no
-- more than so many of each.
create function taskq.ail_tasks(most bigint) returns table (
    problem text,
    severity text,
    subject text,
    said text,
    advice text,
    command text,
    statement text
)
language sql
stable
as $ail_tasks$
    with recursive kind as (
        (
            select task.queue, task.task_type, 1 as position
            from taskq.task
            order by task.queue, task.task_type
            limit 1
        )
        union all
        select next.queue, next.task_type, kind.position + 1
        from kind
        cross join lateral (
            select task.queue, task.task_type
            from taskq.task
            where (task.queue, task.task_type) > (kind.queue, kind.task_type)
            order by task.queue, task.task_type
            limit 1
        ) as next
        where kind.position < 1000
    ),
    served as (
        select unnest(worker.queues) as queue, worker.task_types
        from taskq.worker
        where worker.expires_at > now()
    ),
    counted as (
        select
            kind.*,
            (
                select count(*)
                from (
                    select
                    from taskq.task
                    where task.queue = kind.queue
                      and task.task_type = kind.task_type
                    limit most
                ) as head
            ) as waiting,
            exists (select from served where served.queue = kind.queue) as has_worker,
            exists (select from served where kind.task_type = any (served.task_types)) as is_known,
            exists (
                select
                from served
                where served.queue = kind.queue
                  and kind.task_type = any (served.task_types)
            ) as is_served
        from kind
    )
    select
        'unserved',
        'error',
        counted.task_type,
        format('%s tasks of type %s wait in queue %s, and ', taskq.up_to(counted.waiting, most), counted.task_type, counted.queue)
            || case
                when not counted.has_worker then 'no living worker works on that queue'
                when not counted.is_known then 'no living worker knows that type'
                else 'the workers that know that type do not work on that queue'
            end,
        case
            when not counted.has_worker then format('start a worker with .queue(%s, ...), or see why it has ended', to_json(counted.queue))
            when not counted.is_known
                then 'deploy a worker that has a handler of that name, or says it as an alias; if the name is a mistake, cancel them'
            else format('have a worker with that handler serve the queue, too: .queue(%s, ...)', to_json(counted.queue))
        end,
        case
            when counted.has_worker and not counted.is_known then 'cancel --all ' || taskq.as_word(
                format('state:waiting queue:%s type:%s', taskq.as_value(counted.queue), taskq.as_value(counted.task_type))
            )
        end,
        case
            when counted.has_worker and not counted.is_known then format(
                'select taskq.cancel(task_id) from taskq.task where queue = %L and task_type = %L',
                counted.queue,
                counted.task_type
            )
        end
    from counted
    where not counted.is_served
      and exists (select from served)
    union all
    select
        'paused',
        'warning',
        pause.name,
        format(
            '%s %s has been paused for %s by %s%s: nothing more of it starts%s',
            replace(pause.scope, '_', ' '),
            pause.name,
            taskq.in_words(now() - pause.since),
            pause.by,
            ' (' || pause.reason || ')',
            case
                when pause.scope = 'schedule' then ''
                else format(
                    ', and %s tasks wait',
                    (
                        select taskq.up_to(least(coalesce(sum(counted.waiting), 0)::bigint, most), most)
                        from counted
                        where case pause.scope when 'queue' then counted.queue else counted.task_type end = pause.name
                    )
                )
            end
        ),
        format('resume the %s once the reason is gone', replace(pause.scope, '_', ' ')),
        format('resume %s %s', replace(pause.scope, 'task_', ''), taskq.as_word(pause.name)),
        format('select taskq.resume_%s(%L)', pause.scope, pause.name)
    from taskq.pause
    where pause.until is null or pause.until > now()
$ail_tasks$;

-- Returns what holds up the server for all: transactions that stay open, dead rows that stay, connections that run out.
create function taskq.ail_server(patience interval) returns table (
    problem text,
    severity text,
    subject text,
    said text,
    advice text,
    command text,
    statement text
)
language sql
stable
as $ail_server$
    with held as (
        select
            'session ' || pid as holder,
            now() - coalesce(xact_start, backend_start) as age,
            format(
                'of %s%s, %s, last statement: %s',
                usename,
                ' from ' || nullif(application_name, ''),
                coalesce(state, 'which only its owner may see'),
                left(regexp_replace(coalesce(query, ''), '\s+', ' ', 'g'), 120)
            ) as what,
            'end that transaction, or the session' as advice,
            format('select pg_terminate_backend(%s)', pid) as statement
        from pg_stat_activity
        where pid <> pg_backend_pid()
          and backend_type = 'client backend'
          and (datname = current_database() or backend_xmin is not null)
          and xact_start < clock_timestamp() - patience
        union all
        select
            'prepared transaction ' || gid,
            now() - prepared,
            'of ' || owner,
            'commit it, or roll it back',
            format('rollback prepared %L', gid)
        from pg_prepared_xacts
        where prepared < clock_timestamp() - patience
        union all
        select
            'replication slot ' || slot_name,
            null,
            case when active then 'in use' else 'used by nobody' end
                || format(', %s transactions behind', age(coalesce(xmin, catalog_xmin))),
            'have its consumer catch up, or drop it',
            format('select pg_drop_replication_slot(%L)', slot_name)
        from pg_replication_slots
        where age(coalesce(xmin, catalog_xmin)) > 1000000
    ),
    dead as (
        select coalesce(sum(n_dead_tup), 0)::bigint as dead_rows
        from pg_stat_user_tables
        where relid in ('taskq.task'::regclass, 'taskq.lease'::regclass)
    )
    select
        'open transaction',
        'warning',
        held.holder,
        held.holder || coalesce(' has had a transaction open for ' || taskq.in_words(held.age), ' holds old rows')
            || ', ' || held.what || format('. Vacuum removes nothing newer: %s rows are dead and still there', dead.dead_rows),
        held.advice,
        null,
        held.statement
    from held
    cross join dead
    union all
    select
        'vacuum',
        'warning',
        stat.relname::text,
        format(
            'table %s has %s dead rows beside %s living ones, and autovacuum %s',
            stat.relname,
            stat.n_dead_tup,
            stat.n_live_tup,
            coalesce('was there ' || taskq.in_words(now() - stat.last_autovacuum) || ' ago', 'has never been there')
        ),
        'see whether autovacuum is on and whether a transaction stays open, then vacuum the table',
        null,
        'vacuum ' || stat.relid::regclass::text
    from pg_stat_user_tables as stat
    where stat.relid in ('taskq.task'::regclass, 'taskq.lease'::regclass, 'taskq.dead'::regclass)
      and stat.n_dead_tup > 100000 + stat.n_live_tup / 2
      and coalesce(stat.last_autovacuum, '-infinity') < now() - interval '10 minutes'
    union all
    select
        'autovacuum',
        'error',
        class.relname::text,
        format('autovacuum is off for table %s: claims become slower with each task', class.relname),
        'have autovacuum come to the table again',
        null,
        format('alter table %s reset (autovacuum_enabled)', class.oid::regclass)
    from pg_class as class
    where class.oid in ('taskq.task'::regclass, 'taskq.lease'::regclass, 'taskq.dead'::regclass)
      and exists (
          select
          from pg_options_to_table(class.reloptions) as said
          where said.option_name = 'autovacuum_enabled'
            and not said.option_value::boolean
      )
    union all
    select
        'setting',
        setting.severity,
        setting.name,
        format('%s is %s: %s', setting.name, pg_settings.setting, setting.why),
        setting.advice,
        null,
        format('alter system set %s = on', setting.name)
    from (
        values
            ('autovacuum', 'off', 'error', 'claims become slower with each task', 'turn it on, and reload the configuration'),
            ('track_counts', 'off', 'error', 'autovacuum does not know what to do', 'turn it on, and reload the configuration'),
            (
                'fsync',
                'off',
                'warning',
                'a crash of the machine may destroy the database',
                'turn it on, and reload the configuration, unless all of the data may be lost'
            ),
            (
                'full_page_writes',
                'off',
                'warning',
                'a crash of the machine may destroy the database',
                'turn it on, and reload the configuration, unless all of the data may be lost'
            )
    ) as setting (name, value, severity, why, advice)
    join pg_settings on pg_settings.name = setting.name and pg_settings.setting = setting.value
    union all
    select
        'connections',
        'warning',
        'max_connections',
        format('%s of %s connections are in use', used.number, room.number),
        'have pools of fewer connections, or more of max_connections; a worker needs 10',
        null,
        null
    from (select count(*) as number from pg_stat_activity where backend_type = 'client backend') as used
    cross join (
        select
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint as number
    ) as room
    where used.number > room.number * 0.9
$ail_server$;

-- Returns what is wrong, errors first: `said` in plain words, and what to do. No row: nothing that it knows of. It reads
-- no more than some thousand rows of each kind, and changes nothing. A transaction may be open for as long as `patience`.
create function taskq.doctor(patience interval default '5 minutes') returns table (
    problem text,
    severity text,
    subject text,
    said text,
    advice text,
    command text,
    statement text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $doctor$
    select found.*
    from (
        select * from taskq.ail_tasks(10000)
        union all
        select
            'no worker',
            'error',
            'worker',
            'no worker is alive'
                || case
                    when last.worker_id is null then ', and none has been in the last hour'
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
                'worker %s, process %s on %s, was last seen %s ago and has not said that it stopped',
                worker.worker_id,
                worker.process_id,
                worker.host,
                taskq.in_words(now() - worker.seen_at)
            ) || case when worker.place = 5 and worker.number > 5 then format(', and so have %s others', worker.number - 5) else '' end,
            'what it ran runs again; if it did not end by itself, see in its log or in that of the system why it ended',
            null,
            null
        from (
            select
                silent.*,
                row_number() over (order by silent.seen_at desc, silent.worker_id) as place,
                count(*) over () as number
            from taskq.worker as silent
            where silent.expires_at <= now()
        ) as worker
        where worker.place <= 5
        union all
        select
            'lease',
            'error',
            'lease',
            format(
                '%s tasks are in leases that ended more than a minute ago, and nobody has rescued them',
                sum(cardinality(lease.task_ids) - cardinality(lease.done))
            ),
            'start a worker: each rescues what others have left; if one is there, its log says why it does not',
            null,
            null
        from taskq.lease
        where lease.expires_at < now() - interval '1 minute'
        having count(*) > 0
        union all
        select
            'dead',
            'error',
            cause.task_type,
            format(
                '%s tasks of type %s have died in the last day (%s), the last %s ago: %s',
                taskq.up_to(cause.total, 100000),
                cause.task_type,
                cause.state,
                taskq.in_words(now() - cause.last_at),
                left(regexp_replace(coalesce(cause.error, 'no error'), '\s+', ' ', 'g'), 160)
            ),
            'mend the cause, then retry them all; discard those that need not run any more',
            'retry --all cause:' || cause.cause,
            format('select taskq.retry(task_id) from taskq.dead where cause = %L', cause.cause)
        from taskq.causes('{"newer": 86400, "state": ["discarded", "invalid", "quarantined"]}', 10) as cause
        union all
        select
            'refused',
            'error',
            'refused',
            format(
                'Postgres has refused to take %s tasks back; the last: %s',
                count(*),
                (array_agg(refused.refusal ->> 'message' order by refused.refused_at desc))[1]
            ),
            'mend what it names, then have Postgres take them back',
            null,
            'select taskq.take_back(task_id) from taskq.refused'
        from taskq.refused
        having count(*) > 0
        union all
        select
            'limit',
            'warning',
            limits.name,
            format('the %s of %s %s is limited to nothing%s: none of it starts', limits.kind, limits.scope, limits.name, ' by ' || limits.by),
            'limit it to more, or have hold again what programs declare',
            case
                when limits.is_overridden then format('reset-limits %s %s', replace(limits.scope, 'task_', ''), taskq.as_word(limits.name))
            end,
            case when limits.is_overridden then format('select taskq.reset_limits(%L, %L)', limits.scope, limits.name) end
        from taskq.limits
        where limits.most = 0
        union all
        select
            'blocked',
            'warning',
            blocked.key,
            format(
                '%s tasks of the sequence %s %s wait behind task %s, which is %s',
                blocked.waiting,
                blocked.task_type,
                blocked.key,
                blocked.task_id,
                blocked.state
            ),
            format('mend and retry task %s, or have the sequence go on without it', blocked.task_id),
            'skip-dead ' || blocked.task_id,
            format('select taskq.skip_dead(%s)', blocked.task_id)
        from (select * from taskq.blocked limit 100) as blocked
        union all
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
                else format(
                    'schedule %s could not tick %s ago: %s',
                    schedule.name,
                    taskq.in_words(now() - schedule.error_at),
                    schedule.error
                )
            end,
            case
                when schedule.error is not null then 'mend what the error names'
                else 'a worker with the feature cron has each schedule tick: start one, or see in its log why it does not'
            end,
            null,
            null
        from taskq.schedule
        where schedule.ended_at is null
          and (schedule.next_tick < now() - interval '1 minute' or schedule.error is not null)
          and not exists (
              select
              from taskq.pause
              where pause.scope = 'schedule'
                and pause.name = schedule.name
                and (pause.until is null or pause.until > now())
          )
        union all
        select * from taskq.ail_server(doctor.patience)
    ) as found
    order by found.severity, found.problem, found.subject
$doctor$;

insert into taskq.migration (version, name, oldest_binary)
select 17, 'doctor', max(oldest_binary) from taskq.migration;

-- Says in plain words what is wrong, and what to do about it: in words that are true for every face of taskq, and, where one
-- sentence mends it, that sentence as the command line takes it (`command`) and as SQL (`statement`).

-- Returns what is wrong, errors first: `said` in plain words, and what to do. No row: nothing that it knows of. It reads
-- no more than some thousand rows of each kind, and changes nothing. A transaction may be open for as long as `patience`.
create function taskq.doctor(patience interval default '5 minutes') returns setof taskq.ailment
language sql
set search_path = pg_catalog, pg_temp
set jit = off
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
                'the worker in process %s on %s was last seen %s ago and has not said that it stopped',
                worker.process_id,
                worker.host,
                taskq.in_words(now() - worker.seen_at)
            ) || case when worker.place = 5 and worker.number > 5 then format(', and so have %s others', worker.number - 5) else '' end
                || coalesce('; ' || held.tasks || ' of its tasks wait to be rescued', ''),
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
                '%s tasks are in leases that ended more than a minute ago, and nobody has rescued them',
                sum(cardinality(lease.task_ids) - cardinality(lease.done))
            ),
            'start a worker: within a minute each rescues what others have left; if one lives, its log says why it does not',
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
                '%s tasks of type %s have died in the last day (%s), the first %s ago and the last %s ago, such as: %s',
                taskq.up_to(cause.total, cause.counted_to),
                cause.task_type,
                cause.state,
                taskq.in_words(now() - cause.first_at),
                taskq.in_words(now() - cause.last_at),
                left(regexp_replace(coalesce(cause.error, 'no error'), '\s+', ' ', 'g'), 160)
            ),
            'mend the cause, then retry them all; discard those that need not run any more',
            'retry --all cause:' || cause.cause,
            format('select taskq.retry(task_id) from taskq.dead where cause = %L', cause.cause)
        from taskq.causes('{"newer": 86400, "state": ["discarded", "invalid", "quarantined"]}', 10) as cause
        where cause.cause is not null
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
            'take-back --all',
            'select taskq.take_back(task_id) from taskq.refused'
        from taskq.refused
        having count(*) > 0
        union all
        select
            'limit',
            'warning',
            limits.name,
            format(
                'the %s of %s %s is limited to nothing%s%s%s: none of it starts',
                limits.kind,
                replace(limits.scope, '_', ' '),
                limits.name,
                ' by ' || limits.by,
                ' for ' || taskq.in_words(now() - limits.overridden_at),
                ' (' || limits.reason || ')'
            ),
            'raise the limit, or reset it: then what programs declare holds again',
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
            format('skip-dead %s --frees %s', blocked.task_id, blocked.waiting),
            format('select taskq.skip_dead(%s, %s)', blocked.task_id, blocked.waiting)
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
                when schedule.error is null
                    then 'a worker with the feature cron has each schedule tick: start one, or see in its log why it does not; '
                        || 'run it by hand meanwhile'
                when definition.declared_until is null then format(
                    'correct it, or undo the change that %s made by hand: then what a program declares holds again',
                    definition.made_by
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
        union all
        select * from taskq.ail_attempts()
        union all
        select * from taskq.ail_limits()
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
    ) as found
    -- What holds tasks back stands before what came of it. No two change places from one look to the next.
    order by found.severity, found.problem = 'dead', found.problem, found.subject, found.statement
$doctor$;

insert into taskq.migration (version, name, oldest_binary)
select 30, 'doctor', max(oldest_binary) from taskq.migration;

-- Says in plain words what is wrong with tasks, attempts and limits, and what to do about it. The words are true for every
-- face of taskq.

-- Something that is wrong. Where one sentence mends it, `command` is that sentence as the command line takes it, and
-- `statement` as SQL.
create type taskq.ailment as (
    -- Of which kind it is, and how bad: error or warning.
    problem   text,
    severity  text,
    -- What it is about: a task type, a queue, a session. Of one problem no two lines have the same.
    subject   text,
    said      text,
    advice    text,
    command   text,
    statement text
);

-- Returns what is wrong with waiting tasks, by queue and task type: nobody runs them, or an operator stopped them. Counts no
-- more than so many of each, and twice as many in all, or a hundred of each.
create function taskq.ail_tasks(most bigint) returns setof taskq.ailment
language sql
stable
as $ail_tasks$
    with kind as materialized (
        select * from taskq.waiting_kinds(1000)
    ),
    served as materialized (
        select distinct kind.queue, kind.task_type
        from kind
        join taskq.known_types() as known
          on known.task_type = kind.task_type
         and kind.queue = any (known.queues)
    ),
    paused as materialized (
        select pause.*
        from taskq.pause
        where pause.until is null or pause.until > now()
    ),
    -- What is served and not paused need not be counted.
    stopped as materialized (
        select found.*
        from (
            select
                kind.queue,
                kind.task_type,
                (kind.queue, kind.task_type) in (select served.queue, served.task_type from served) as is_served,
                ('queue', kind.queue) in (select paused.scope, paused.name from paused)
                    or ('task_type', kind.task_type) in (select paused.scope, paused.name from paused) as is_paused
            from kind
        ) as found
        where found.is_paused or not found.is_served
    ),
    reach as materialized (
        select least(greatest(2 * most / greatest(count(*), 1), 100), most) as each
        from stopped
    ),
    counted as materialized (
        select stopped.*, reach.each, head.waiting, head.oldest_at
        from stopped
        cross join reach
        cross join lateral (
            select count(*) as waiting, min(first.run_at) as oldest_at
            from (
                select task.run_at
                from taskq.task
                where task.queue = stopped.queue
                  and task.task_type = stopped.task_type
                limit reach.each
            ) as first
        ) as head
    )
    select
        'unserved',
        'error',
        format('%s in queue %s', counted.task_type, counted.queue),
        format(
            '%s of type %s %s in queue %s, and %s%s',
            taskq.counted(counted.waiting, 'task', counted.each),
            counted.task_type,
            taskq.one_or_many(counted.waiting, 'waits', 'wait'),
            counted.queue,
            lack.because,
            '; the oldest has been due for ' || case
                when counted.oldest_at < now() - interval '1 minute' then taskq.in_words(now() - counted.oldest_at)
            end
        ),
        lack.advice,
        case
            when lack.is_unknown then 'cancel --all ' || taskq.as_word(
                format('state:waiting queue:%s type:%s', taskq.as_value(counted.queue), taskq.as_value(counted.task_type))
            )
        end,
        case
            when lack.is_unknown then format(
                'select taskq.cancel(task_id) from taskq.task where queue = %L and task_type = %L',
                counted.queue,
                counted.task_type
            )
        end
    from counted
    cross join lateral taskq.unserved(counted.queue, counted.task_type) as lack
    where exists (select from taskq.worker where worker.expires_at > now())
      and not counted.is_served
    union all
    select
        'paused',
        -- Nobody has said until when, and something should have run an hour ago.
        case
            when pause.until is null
             and pause.scope <> 'schedule'
             and exists (
                 select
                 from counted
                 where case pause.scope when 'queue' then counted.queue else counted.task_type end = pause.name
                   and counted.oldest_at < now() - interval '1 hour'
             ) then 'error'
            else 'warning'
        end,
        replace(pause.scope, '_', ' ') || ' ' || pause.name,
        format(
            '%s %s has been paused for %s by %s%s: nothing more of it starts%s',
            replace(pause.scope, '_', ' '),
            pause.name,
            taskq.in_words(now() - pause.since),
            pause.by,
            ' (' || pause.reason || ')',
            case
                when pause.scope = 'schedule' then ''
                else (
                    select format(
                        ', and %s%s %s',
                        case when bool_or(counted.waiting >= counted.each) then 'at least ' end,
                        taskq.counted(coalesce(sum(counted.waiting), 0)::bigint, 'task'),
                        taskq.one_or_many(sum(counted.waiting), 'waits', 'wait')
                    )
                    from counted
                    where case pause.scope when 'queue' then counted.queue else counted.task_type end = pause.name
                )
            end
        ),
        format('resume the %s once the reason is gone', replace(pause.scope, '_', ' ')),
        format('resume %s %s', replace(pause.scope, 'task_', ''), taskq.as_word(pause.name)),
        format('select taskq.resume_%s(%L)', pause.scope, pause.name)
    from paused as pause
$ail_tasks$;

-- Returns of what tasks have died in the last day, and what Postgres refuses to take back.
create function taskq.ail_dead() returns setof taskq.ailment
language sql
stable
as $ail_dead$
    select
        'dead',
        'error',
        format('%s cause:%s', cause.task_type, cause.cause),
        format(
            '%s of type %s %s died in the last day (%s), the first %s ago and the last %s ago, such as: %s',
            taskq.counted(cause.total, 'task', cause.counted_to),
            cause.task_type,
            taskq.one_or_many(cause.total, 'has', 'have'),
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
            'Postgres has refused to take %s back; the last: %s',
            taskq.counted(refused.number, 'task', 10000),
            last.message
        ),
        'mend what it names, then have Postgres take them back',
        'take-back --all',
        'select taskq.take_back(task_id) from taskq.refused'
    from (
        select count(*) as number
        from (select from taskq.refused limit 10000) as first
    ) as refused
    cross join lateral (
        select newest.refusal ->> 'message' as message
        from taskq.refused as newest
        order by newest.refused_at desc, newest.task_id desc
        limit 1
    ) as last
$ail_dead$;

-- Returns the words for those that are left out below the fifth of what is told one by one.
create function taskq.and_others(place bigint, number bigint) returns text
language sql
immutable
parallel safe
return case
    when place = 5 and number > 5
        then format(', and so %s %s', taskq.one_or_many(number - 5, 'has', 'have'), taskq.counted(number - 5, 'other'))
    else ''
end;

-- Returns what is wrong with what runs: attempts that are perhaps stuck.
create function taskq.ail_attempts() returns setof taskq.ailment
language sql
stable
as $ail_attempts$
    select
        'perhaps stuck',
        'warning',
        'task ' || stuck.task_id,
        format(
            'task %s of type %s has run for %s in process %s on %s%s',
            stuck.task_id,
            stuck.task_type,
            taskq.in_words(now() - stuck.claimed_at),
            stuck.process_id,
            stuck.host,
            ': 99 of 100 of its type take less than ' || taskq.in_words(stuck.usual)
        ) || coalesce('; ' || stuck.doing, '') || taskq.and_others(stuck.place, stuck.number),
        case
            when stuck.thread is null
                then 'see in the log of that process, or in pg_stat_activity, what its handler waits for; then cancel it'
            else taskq.blocks_thread()
        end,
        case when stuck.thread is null then 'cancel ' || stuck.task_id end,
        case when stuck.thread is null then format('select taskq.cancel(%s)', stuck.task_id) end
    from (
        select
            long.*,
            row_number() over (order by long.claimed_at, long.task_id) as place,
            count(*) over () as number
        from taskq.stuck() as long
    ) as stuck
    where stuck.place <= 5
$ail_attempts$;

-- Returns what starts nothing: limits of nothing, and sequences that wait at a dead task.
create function taskq.ail_stopped() returns setof taskq.ailment
language sql
stable
as $ail_stopped$
    -- Those that are told: it takes long to count the tasks behind each of very many.
    with first as materialized (
        select
            blocked.task_id,
            row_number() over (order by blocked.blocked_at, blocked.task_id) as place,
            count(*) over () as number
        from taskq.blocked
    )
    select
        'limit',
        'warning',
        format('%s of %s %s', limits.kind, replace(limits.scope, '_', ' '), limits.name),
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
        'task ' || blocked.task_id,
        format(
            '%s of the sequence %s %s %s behind task %s, which is %s',
            taskq.counted(blocked.waiting, 'task'),
            blocked.task_type,
            blocked.key,
            taskq.one_or_many(blocked.waiting, 'waits', 'wait'),
            blocked.task_id,
            blocked.state
        ) || case
            when first.place = 5 and first.number > 5
                then format('; so it is with %s', taskq.counted(first.number - 5, 'other key'))
            else ''
        end,
        format('mend and retry task %s, or have the sequence go on without it', blocked.task_id),
        format('skip-dead %s --frees %s', blocked.task_id, blocked.waiting),
        format('select taskq.skip_dead(%s, %s)', blocked.task_id, blocked.waiting)
    from first
    join taskq.blocked on blocked.task_id = first.task_id
    where first.place <= 5
$ail_stopped$;

-- Returns which limits and keys say something else than the leases.
create function taskq.ail_limits() returns setof taskq.ailment
language sql
stable
as $ail_limits$
    -- Not kept: what runs is nearly always read for the first alone.
    with running as not materialized (
        select
            held.queue,
            held.limited_type,
            case
                when held.fields is not null then taskq.limit_key(held.payload, held.fields)
                else held.limited_key
            end as limited_key,
            held.task_id,
            held.task_type
        from (
            -- As a join it takes twice as long.
            select
                lease.queue,
                lease.limited_type,
                lease.limited_key,
                lease.done,
                keyed.fields,
                unnest(lease.task_ids) as task_id,
                unnest(lease.task_types) as task_type,
                -- Those of leases that were claimed without regard to keys.
                unnest(case when keyed.fields is not null then lease.payloads end) as payload
            from taskq.lease
            left join (
                select limits.name, max(limits.fields) as fields
                from taskq.limits
                where limits.scope = 'key'
                  and limits.kind in ('concurrency', 'sequence')
                  and limits.most is not null
                group by limits.name
            ) as keyed on keyed.name = lease.limited_type and lease.limited_key is null
        ) as held
        where held.task_id <> all (held.done)
    ),
    -- Those that are alike for all limits.
    crowd as materialized (
        select running.queue, running.task_type, running.limited_type, running.limited_key, count(*) as number
        from running
        group by running.queue, running.task_type, running.limited_type, running.limited_key
    ),
    excess as (
        select
            limits.most,
            used.number,
            whose.words,
            row_number() over (partition by whose.words order by used.number desc, used.key) as place,
            count(*) over (partition by whose.words) as alike
        from taskq.limits
        cross join lateral (
            select case when limits.scope = 'key' then crowd.limited_key end as key, sum(crowd.number) as number
            from crowd
            where case limits.scope
                when 'queue' then crowd.queue = limits.name
                when 'task_type' then crowd.task_type = any (limits.name || limits.aliases)
                else crowd.limited_type = limits.name and crowd.limited_key is not null
            end
            group by 1
        ) as used
        cross join lateral (
            select format(
                '%s %s%s',
                replace(case limits.scope when 'key' then 'task_type' else limits.scope end, '_', ' '),
                limits.name,
                case when used.key is not null then ' with one key' else '' end
            ) as words
        ) as whose
        where limits.kind in ('concurrency', 'sequence')
          and used.number > limits.most
    ),
    -- Nearly all tasks that have a key wait.
    elsewhere as materialized (
        select held.task_id
        from (
            select unique_key.task_id
            from taskq.unique_key
            where unique_key.until <> 'within'
            limit 10000
        ) as held
        where not exists (select from taskq.task where task.task_id = held.task_id)
    ),
    forgotten as (
        select count(*) as number
        from elsewhere
        where elsewhere.task_id not in (select running.task_id from running)
    )
    select
        'over limit',
        'warning',
        excess.words,
        format(
            '%s of %s %s, and %s may',
            taskq.counted(excess.number::bigint, 'task'),
            excess.words,
            taskq.one_or_many(excess.number, 'runs', 'run'),
            taskq.grouped(excess.most)
        ) || case when excess.alike > 1 then format('; so it is with %s', taskq.counted(excess.alike - 1, 'other key')) else '' end,
        'nothing, if the limit has just been lowered: no more start until fewer run; otherwise see that all workers are of a release that knows limits',
        null,
        null
    from excess
    where excess.place = 1
    union all
    select
        'keys',
        'warning',
        'unique_key',
        format('%s are held by tasks that have ended', taskq.counted(forgotten.number, 'key', 10000)),
        'a worker deletes them once a minute: start one, or see in its log why it does not',
        null,
        null
    from forgotten
    where forgotten.number >= 1000
$ail_limits$;

-- Returns about how many tasks of a queue are due, as Postgres expects when it plans.
create function taskq.about_due(of_queue text) returns bigint
language plpgsql
as $about_due$
declare
    plan json;
begin
    execute format('explain (format json) select from taskq.task where task.queue = %L and task.run_at <= now()', of_queue)
    into plan;
    return (plan #>> '{0,Plan,Plan Rows}')::numeric;
end
$about_due$;

-- Returns which queues do not get done what is due: how much comes, how much ends, and how long all of it takes at this rate.
-- Looks at queues whose oldest due task is older than `patience`, and at what was counted since. Counts no more than so many
-- tasks, or fifty of each lane.
create function taskq.ail_pace(patience interval, most bigint) returns setof taskq.ailment
language sql
-- Planned with what asks for it, once a session, though `about_due` has Postgres plan something each time.
stable
as $ail_pace$
    with lane as materialized (
        select *
        from taskq.lanes(1000)
    ),
    served as materialized (
        select distinct lane.queue, lane.task_type
        from lane
        join taskq.known_types() as known
          on known.task_type = lane.task_type
         and lane.queue = any (known.queues)
    ),
    closed as materialized (
        select limits.scope, limits.name, limits.name || limits.aliases as names
        from taskq.limits
        where limits.most = 0
    ),
    startable as (
        select lane.*
        from lane
        where lane.run_at <= now()
          and (lane.queue, lane.task_type) in (select served.queue, served.task_type from served)
          and not exists (
              select
              from taskq.pause
              where (pause.until is null or pause.until > now())
                and pause.name = case pause.scope when 'queue' then lane.queue when 'task_type' then lane.task_type end
          )
          and not exists (
              select
              from closed
              where case closed.scope
                  when 'queue' then closed.name = lane.queue
                  else lane.task_type = any (closed.names)
              end
          )
    ),
    reach as (
        select greatest(most / greatest(count(*), 1), 50) as each
        from startable
    ),
    -- Once: each sum over it would have it counted anew.
    counted as materialized (
        select
            startable.queue,
            startable.run_at,
            (
                select count(*)
                from (
                    select
                    from taskq.task
                    where task.queue = startable.queue
                      and task.task_type = startable.task_type
                      and task.payload_version = startable.payload_version
                      and task.crashes = startable.crashes
                      and task.priority = startable.priority
                      and task.run_at <= now()
                    limit (select reach.each from reach)
                ) as due
            ) as due,
            recent.number / greatest(
                extract(epoch from case when recent.number < (select reach.each from reach) then patience else now() - recent.since end),
                1
            ) as comes
        from startable
        join (
            select startable.queue
            from startable
            group by startable.queue
            having min(startable.run_at) < now() - patience
        ) as behind on behind.queue = startable.queue
        cross join lateral (
            select count(*) as number, min(newest.run_at) as since
            from (
                select task.run_at
                from taskq.task
                where task.queue = startable.queue
                  and task.task_type = startable.task_type
                  and task.payload_version = startable.payload_version
                  and task.crashes = startable.crashes
                  and task.priority = startable.priority
                  and task.run_at > now() - patience
                  and task.run_at <= now()
                order by task.run_at desc
                limit (select reach.each from reach)
            ) as newest
        ) as recent
    ),
    -- What came since then waits still, as the oldest is older.
    late as (
        select
            counted.queue,
            case
                when max(counted.due) < (select reach.each from reach) then sum(counted.due)::bigint
                else greatest(sum(counted.due)::bigint, taskq.about_due(counted.queue))
            end as due,
            max(counted.due) < (select reach.each from reach) as is_exact,
            now() - min(counted.run_at) as age,
            sum(counted.comes) as comes,
            (
                select coalesce(sum(minute.completed + minute.failed + minute.died), 0)
                from taskq.minute
                where minute.minute >= date_trunc('minute', now() - patience)
                  and minute.queue = counted.queue
            ) / greatest(extract(epoch from now() - date_trunc('minute', now() - patience)), 1) as ends
        from counted
        group by counted.queue
    )
    select
        'pace',
        case when late.ends > late.comes then 'warning' else 'error' end,
        late.queue,
        format(
            '%s of queue %s %s due, the oldest for %s. In the last %s %s came in a minute and %s ended: ',
            case when late.is_exact then '' else 'about ' end || taskq.counted(late.due, 'task'),
            late.queue,
            taskq.one_or_many(late.due, 'is', 'are'),
            taskq.in_words(late.age),
            taskq.in_words(patience),
            taskq.grouped(round(late.comes * 60, 1)),
            taskq.grouped(round(late.ends * 60, 1))
        ) || case
            when late.ends = 0 then 'nothing goes on'
            when late.ends <= late.comes then 'at this rate it is never done'
            else format(
                'at this rate it is done in %s',
                taskq.in_words(late.due / (late.ends - late.comes) * interval '1 second')
            )
        end,
        case
            when late.ends = 0 then 'ask of one of its tasks why it does not run: show tells it'
            else 'if that is too slow, start more workers, give them more slots, or see which type takes long'
        end,
        null,
        null
    from late
$ail_pace$;

insert into taskq.migration (version, name, oldest_binary)
select 28, 'ailments', max(oldest_binary) from taskq.migration;

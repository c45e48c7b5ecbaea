-- Says in plain words what is wrong, and what to do about it: in words that are true for every face of taskq, and, where one
-- sentence mends it, that sentence as the command line takes it (`command`) and as SQL (`statement`). Says of one task why it
-- does not run.

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

-- Returns why no living worker runs the tasks of a kind, and what to do; no row where one does.
create function taskq.unserved(of_queue text, of_type text) returns table (because text, advice text, is_unknown boolean)
language sql
stable
rows 1
as $unserved$
    select
        case
            when not found.is_one_alive then 'no worker is alive'
            when not found.has_worker then 'no living worker works on that queue'
            when not found.is_known then 'no living worker knows that type'
            else 'the workers that know that type do not work on that queue'
        end,
        case
            when not found.is_one_alive then 'start one, and see in its log why the last one ended'
            when not found.has_worker then format('start a worker with .queue(%s, ...), or see why it has ended', to_json(of_queue))
            when not found.is_known
                then 'deploy a worker that has a handler of that name, or says it as an alias; if the name is a mistake, cancel them'
            else format('have a worker with that handler serve the queue, too: .queue(%s, ...)', to_json(of_queue))
        end,
        found.has_worker and not found.is_known
    from (
        select
            count(*) > 0 as is_one_alive,
            coalesce(bool_or(of_queue = any (worker.queues)), false) as has_worker,
            coalesce(bool_or(of_type = any (worker.task_types)), false) as is_known,
            coalesce(bool_or(of_queue = any (worker.queues) and of_type = any (worker.task_types)), false) as is_served
        from taskq.worker
        where worker.expires_at > now()
    ) as found
    where not found.is_served
$unserved$;

-- Returns how long attempts of some types usually take: so that 99 of 100 of the last day took no longer. No row for a type
-- with fewer than twenty.
create function taskq.usual_runs(of_types text[]) returns table (task_type text, longest interval)
language sql
stable
as $usual_runs$
    with counted as (
        select minute.task_type, run.place, sum(run.number) as number
        from taskq.minute
        cross join lateral unnest(minute.runs) with ordinality as run (number, place)
        where minute.task_type = any (of_types)
          and minute.minute > now() - interval '1 day'
        group by minute.task_type, run.place
    ),
    summed as (
        select
            counted.task_type,
            counted.place,
            sum(counted.number) over (partition by counted.task_type order by counted.place) as up_to_here,
            sum(counted.number) over (partition by counted.task_type) as total
        from counted
    )
    -- The place in the array says below how many milliseconds that was: see taskq.minute.
    select summed.task_type, min(2 ^ (summed.place - 1)) * interval '1 millisecond'
    from summed
    where summed.total >= 20
      and summed.up_to_here >= summed.total * 0.99
    group by summed.task_type
$usual_runs$;

-- Returns the attempts that have run for longer than this and four times as long as is usual for their type: perhaps they are
-- stuck. A hundred at the most, the oldest first. `doing` is what its session does, if there is one whose transaction began
-- with the attempt, and only one: that of a handler with a transaction.
create function taskq.stuck(longer_than interval default '1 minute') returns table (
    task_id bigint,
    task_type text,
    queue text,
    claimed_at timestamptz,
    usual interval,
    worker_id uuid,
    host text,
    process_id integer,
    doing text
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $stuck$
    with long as materialized (
        select held.task_id, held.task_type, lease.queue, lease.claimed_at, lease.worker_id
        from taskq.lease
        cross join lateral unnest(lease.task_ids, lease.task_types) as held (task_id, task_type)
        where lease.claimed_at < now() - longer_than
          and held.task_id <> all (lease.done)
    )
    select
        long.task_id,
        long.task_type,
        long.queue,
        long.claimed_at,
        usual.longest,
        long.worker_id,
        worker.host,
        worker.process_id,
        (
            select case
                when count(*) = 1 then min(
                    format(
                        'session %s, whose transaction began with it, %s, last statement: %s',
                        session.pid,
                        concat_ws(' and waits for ', session.state, session.wait_event_type || ' ' || session.wait_event),
                        left(regexp_replace(session.query, '\s+', ' ', 'g'), 120)
                    )
                )
            end
            from pg_stat_activity as session
            where session.datname = current_database()
              and session.pid <> pg_backend_pid()
              and session.xact_start between long.claimed_at and long.claimed_at + interval '1 second'
        )
    from taskq.usual_runs(array(select distinct long.task_type from long)) as usual
    join long on long.task_type = usual.task_type
    join taskq.worker on worker.worker_id = long.worker_id and worker.expires_at > now()
    where now() - long.claimed_at > 4 * usual.longest
    order by long.claimed_at, long.task_id
    limit 100
$stuck$;

-- Returns the limits of how many run at once and how fast they start that bind tasks like this one: how many run, and when
-- the next may start by a rate or because a handler has said so, if none may now.
create function taskq.binding(of_queue text, of_type text, of_payload jsonb) returns table (
    scope text,
    name text,
    kind text,
    key text,
    most integer,
    seconds double precision,
    holders bigint[],
    opens_at timestamptz,
    is_held boolean
)
language sql
stable
as $binding$
    select
        limits.scope,
        limits.name,
        limits.kind,
        bound.key,
        limits.most,
        limits.seconds,
        case
            when limits.kind = 'concurrency' then array(
                select held.task_id
                from taskq.lease
                cross join lateral unnest(lease.task_ids, lease.task_types) as held (task_id, task_type)
                where held.task_id <> all (lease.done)
                  and case limits.scope
                      when 'queue' then lease.queue = limits.name
                      when 'task_type' then held.task_type = any (limits.name || limits.aliases)
                      else lease.limited_type = limits.name and lease.limited_key = bound.key
                  end
                order by held.task_id
            )
        end,
        case
            when limits.kind = 'rate' then taskq.rate_opens(gate.next_start, gate.held_until, limits.seconds / limits.most, limits.burst)
            else gate.held_until
        end,
        coalesce(gate.held_until > now(), false)
    from taskq.limits
    cross join lateral (
        select case when limits.scope = 'key' then taskq.limit_key(of_payload, limits.fields) else '' end as key
    ) as bound
    left join taskq.gate
      on gate.scope = limits.scope
     and gate.name = limits.name
     and gate.key = bound.key
    where limits.most is not null
      and limits.kind in ('concurrency', 'rate')
      and case
          when limits.scope = 'queue' then limits.name = of_queue
          else of_type = any (limits.name || limits.aliases)
      end
$binding$;

-- Returns which task of its sequence a waiting task waits for, and what that one is; no row where it is the first, or in none.
create function taskq.before_in_sequence(of_task taskq.task) returns table (task_id bigint, state text)
language sql
stable
rows 1
as $before_in_sequence$
    with rule as (
        select limits.name, limits.name || limits.aliases as names, limits.fields, limits.on_dead, place.key
        from taskq.limits
        cross join lateral (select taskq.limit_key(of_task.payload, limits.fields) as key) as place
        where limits.scope = 'key'
          and limits.kind = 'sequence'
          and of_task.task_type = any (limits.name || limits.aliases)
    )
    select before.task_id, before.state
    from rule
    cross join lateral (
        (
            select held.task_id, 'running' as state, 1 as rank
            from taskq.lease
            cross join lateral unnest(lease.task_ids) as held (task_id)
            where lease.limited_type = rule.name
              and lease.limited_key = rule.key
              and held.task_id <> all (lease.done)
            limit 1
        )
        union all
        select block.task_id, block.state, 2
        from taskq.sequence_block as block
        where block.key = rule.key
          and block.task_type = any (rule.names)
          and rule.on_dead = 'block'
        union all
        select refused.task_id, 'refused', 3
        from taskq.refused
        where refused.task_type = any (rule.names)
          and taskq.limit_key(refused.payload, rule.fields) = rule.key
        union all
        (
            select older.task_id, 'waiting', 4
            from taskq.task as older
            where older.in_sequence
              and older.task_type = any (rule.names)
              and older.key = rule.key
              and older.task_id < of_task.task_id
            order by older.task_id
            limit 1
        )
        order by rank, task_id
        limit 1
    ) as before
$before_in_sequence$;

-- Returns why a task that waits does not run now: each reason by itself. No row: nothing is in its way but those before it.
create function taskq.why_waiting(of_task taskq.task) returns table (
    reason text,
    said text,
    advice text,
    command text,
    statement text,
    until timestamptz
)
language sql
stable
as $why_waiting$
    select
        'not due',
        format('it is due in %s', taskq.in_words(of_task.run_at - now()))
            || case
                when of_task.attempts > 0 then format(': attempt %s has failed, and it is tried again then', of_task.attempts)
                else ''
            end,
        'to run it now, retry it',
        'retry ' || of_task.task_id,
        format('select taskq.retry(%s)', of_task.task_id),
        of_task.run_at
    where of_task.run_at > now()
    union all
    select
        'paused',
        format(
            '%s %s has been paused for %s by %s%s',
            replace(pause.scope, '_', ' '),
            pause.name,
            taskq.in_words(now() - pause.since),
            pause.by,
            ' (' || pause.reason || ')'
        ) || coalesce(', and is for another ' || taskq.in_words(pause.until - now()), ''),
        format('resume the %s once the reason is gone', replace(pause.scope, '_', ' ')),
        format('resume %s %s', replace(pause.scope, 'task_', ''), taskq.as_word(pause.name)),
        format('select taskq.resume_%s(%L)', pause.scope, pause.name),
        pause.until
    from taskq.pause
    where (pause.until is null or pause.until > now())
      and pause.name = case pause.scope when 'queue' then of_task.queue when 'task_type' then of_task.task_type end
    union all
    select
        'unserved',
        format('its type is %s, its queue %s, and %s', of_task.task_type, of_task.queue, lack.because),
        lack.advice,
        null,
        null,
        null
    from taskq.unserved(of_task.queue, of_task.task_type) as lack
    union all
    select
        'limit',
        case
            when bound.is_held then format('a handler has said that nothing of %s starts for %s more', scope.words, taskq.in_words(bound.opens_at - now()))
            when bound.kind = 'rate' then format(
                '%s of %s may start in %s, and the next may in %s',
                bound.most,
                scope.words,
                taskq.in_words(bound.seconds * interval '1 second'),
                taskq.in_words(bound.opens_at - now())
            )
            when bound.most = 0 then format('%s is limited to nothing', scope.words)
            else format('%s of %s of %s run', cardinality(bound.holders), bound.most, scope.words)
                || format(
                    ': %s',
                    (
                        select string_agg('task ' || holder.task_id, ', ' order by holder.place)
                            || case when cardinality(bound.holders) > 5 then ', ...' else '' end
                        from unnest(bound.holders[:5]) with ordinality as holder (task_id, place)
                    )
                )
        end,
        case
            when bound.is_held or bound.kind = 'rate' then 'it starts by itself then; limits say how fast'
            when bound.most = 0 then 'limit it to more'
            else 'it starts when one of them has ended; or limit it to more'
        end,
        null,
        null,
        bound.opens_at
    from taskq.binding(of_task.queue, of_task.task_type, of_task.payload) as bound
    cross join lateral (
        select case bound.scope
            when 'queue' then 'queue ' || bound.name
            when 'task_type' then 'type ' || bound.name
            else format(
                'type %s with the key %s',
                bound.name,
                taskq.masked_key(
                    to_jsonb(bound.key),
                    of_task.payload,
                    taskq.secret_fields(of_task.task_type, of_task.metadata)
                ) #>> '{}'
            )
        end as words
    ) as scope
    where bound.opens_at > now()
       or cardinality(bound.holders) >= bound.most
    union all
    select
        'sequence',
        format('task %s, which is %s, stands before it in its sequence', before.task_id, before.state),
        case
            when before.state in ('running', 'waiting') then 'it starts when those before it have ended'
            when before.state = 'refused' then 'mend what Postgres named, then have it take that task back'
            else 'mend and retry that task, or have the sequence go on without it'
        end,
        case when before.state not in ('running', 'waiting', 'refused') then 'skip-dead ' || before.task_id end,
        case
            when before.state = 'refused' then format('select taskq.take_back(%s)', before.task_id)
            when before.state not in ('running', 'waiting') then format('select taskq.skip_dead(%s)', before.task_id)
        end,
        null
    from taskq.before_in_sequence(of_task) as before
    union all
    select
        'turn',
        format('task %s, which is %s, has the same key, and one of them runs at a time', older.task_id, taskq.where_is(older.task_id)),
        'it starts when that one has ended',
        null,
        null,
        null
    from taskq.unique_key
    cross join lateral (
        select given.task_id
        from unnest(unique_key.before || unique_key.task_id) as given (task_id)
        where given.task_id < of_task.task_id
          and taskq.where_is(given.task_id) is not null
        order by given.task_id
        limit 1
    ) as older
    where unique_key.task_type = of_task.task_type
      and unique_key.key = of_task.metadata -> 'task.again'
    union all
    select
        'expired',
        format('it expired %s ago: the next worker that comes to it sets it aside', taskq.in_words(now() - expiry.at)),
        'start workers that are quicker, or let it wait for longer',
        null,
        null,
        null
    from (
        select case jsonb_typeof(of_task.metadata -> 'task.expires')
            when 'number' then of_task.created_at + (of_task.metadata ->> 'task.expires')::double precision * interval '1 second'
            when 'string' then (of_task.metadata ->> 'task.expires')::timestamptz
        end as at
    ) as expiry
    where expiry.at < now()
$why_waiting$;

-- Returns why a task does not run now, each reason by itself, or what becomes of it: in plain words, with what to do, and until
-- when that is so where it is known. No row: there is no such task.
create function taskq.why(task_id bigint) returns table (
    reason text,
    said text,
    advice text,
    command text,
    statement text,
    until timestamptz
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $why$
#variable_conflict use_column
declare
    waiting taskq.task;
    running taskq.lease;
    by_worker taskq.worker;
    place text;
    stuck record;
    state text;
    ahead bigint;
begin
    select task.* into waiting from taskq.task where task.task_id = why.task_id;
    if found then
        return query select * from taskq.why_waiting(waiting);
        if found then
            return;
        end if;
        select count(*)
        into ahead
        from (
            select
            from taskq.task
            where task.queue = waiting.queue
              and task.task_type = waiting.task_type
              and task.payload_version = waiting.payload_version
              and task.crashes = waiting.crashes
              and task.priority = waiting.priority
              and (task.run_at, task.task_id) < (waiting.run_at, waiting.task_id)
            order by task.run_at, task.task_id
            limit 10000
        ) as older;
        reason := 'next';
        said := (
            select format(
                'it has been due for %s. Before it stand %s of its type and priority, and of the %s slots of its workers %s are in use',
                taskq.in_words(now() - waiting.run_at),
                taskq.up_to(ahead, 10000),
                coalesce(sum(workers.slots), 0),
                coalesce(sum(workers.running), 0)
            )
            from taskq.workers() as workers
            where workers.is_alive
              and waiting.queue = any (workers.queues)
              and waiting.task_type = any (workers.task_types)
        );
        advice := 'if it does not start soon, start more workers, and see in their logs what they say of its type';
        return next;
        return;
    end if;

    select lease.*
    into running
    from taskq.lease
    where why.task_id = any (lease.task_ids)
      and why.task_id <> all (lease.done);
    if found then
        select worker.* into by_worker from taskq.worker where worker.worker_id = running.worker_id;
        place := concat_ws(
            ', ',
            'worker ' || running.worker_id,
            'process ' || by_worker.process_id || ' on ' || by_worker.host
        );
        if by_worker.expires_at > now() and running.expires_at > now() then
            reason := 'running';
            said := format('%s has had it for %s', place, taskq.in_words(clock_timestamp() - running.claimed_at));
            select found.* into stuck from taskq.stuck() as found where found.task_id = why.task_id;
            if found then
                reason := 'perhaps stuck';
                said := concat_ws('; ', format('%s: 99 of 100 of its type take less than %s', said, taskq.in_words(stuck.usual)), stuck.doing);
                advice := 'see in the log of that worker, or in pg_stat_activity, what its handler waits for; then cancel it';
                command := 'cancel ' || why.task_id;
                statement := format('select taskq.cancel(%s)', why.task_id);
            end if;
        else
            reason := 'abandoned';
            until := running.expires_at;
            said := format(
                '%s has had it for %s, and was last heard of %s ago: when its lease has ended, another worker takes it back',
                place,
                taskq.in_words(clock_timestamp() - running.claimed_at),
                taskq.in_words(now() - coalesce(by_worker.seen_at, running.claimed_at))
            );
            advice := 'see that a worker is alive; if it stays, its log says why';
        end if;
        return next;
        return;
    end if;

    state := taskq.state_of(why.task_id);
    if state is null then
        return;
    end if;
    reason := state;
    said := case state
        when 'completed' then 'it has completed'
        when 'refused' then 'Postgres has refused to take it back'
        else format('it is %s: nothing runs it again by itself', state)
    end;
    if state = 'refused' then
        advice := 'mend what the refusal names, then have Postgres take it back';
        command := 'take-back ' || why.task_id;
        statement := format('select taskq.take_back(%s)', why.task_id);
    elsif state <> 'completed' then
        advice := 'mend the cause, then retry it';
        command := 'retry ' || why.task_id;
        statement := format('select taskq.retry(%s)', why.task_id);
    end if;
    return next;
end
$why$;

-- Something that is wrong.
create type taskq.ailment as (
    -- Of which kind it is, and how bad: error or warning.
    problem   text,
    severity  text,
    -- What it is about: a task type, a queue, a session.
    subject   text,
    said      text,
    advice    text,
    command   text,
    statement text
);

-- Returns what is wrong with waiting tasks, by queue and task type: nobody runs them, or an operator stopped them. Counts no
-- more than so many of each.
create function taskq.ail_tasks(most bigint) returns setof taskq.ailment
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
    served as materialized (
        select distinct kind.queue, kind.task_type
        from kind
        join (
            -- Workers of one program are alike.
            select declared.queues, unnest(declared.task_types) as task_type
            from (
                select distinct worker.queues, worker.task_types
                from taskq.worker
                where worker.expires_at > now()
            ) as declared
        ) as known
          on known.task_type = kind.task_type
         and kind.queue = any (known.queues)
    ),
    -- What is served and not paused need not be counted.
    counted as not materialized (
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
            (
                select min(head.run_at)
                from (
                    select task.run_at
                    from taskq.task
                    where task.queue = kind.queue
                      and task.task_type = kind.task_type
                    limit most
                ) as head
            ) as oldest_at
        from kind
    )
    select
        'unserved',
        'error',
        counted.task_type,
        format(
            '%s tasks of type %s wait in queue %s, and %s%s',
            taskq.up_to(counted.waiting, most),
            counted.task_type,
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
      and (counted.queue, counted.task_type) not in (select served.queue, served.task_type from served)
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

-- Returns what is wrong with what runs: attempts that are perhaps stuck.
create function taskq.ail_attempts() returns setof taskq.ailment
language sql
stable
as $ail_attempts$
    select
        'perhaps stuck',
        'warning',
        stuck.task_type,
        format(
            'task %s of type %s has run for %s in process %s on %s: 99 of 100 of its type take less than %s',
            stuck.task_id,
            stuck.task_type,
            taskq.in_words(now() - stuck.claimed_at),
            stuck.process_id,
            stuck.host,
            taskq.in_words(stuck.usual)
        ) || coalesce('; ' || stuck.doing, '') || case when stuck.place = 5 and stuck.number > 5 then format(', and so have %s others', stuck.number - 5) else '' end,
        'see in the log of that process, or in pg_stat_activity, what its handler waits for; then cancel it',
        'cancel ' || stuck.task_id,
        format('select taskq.cancel(%s)', stuck.task_id)
    from (
        select
            long.*,
            row_number() over (order by long.claimed_at, long.task_id) as place,
            count(*) over () as number
        from taskq.stuck() as long
    ) as stuck
    where stuck.place <= 5
$ail_attempts$;

-- Returns which limits and keys say something else than the leases.
create function taskq.ail_limits() returns setof taskq.ailment
language sql
stable
as $ail_limits$
    with running as materialized (
        select lease.queue, lease.limited_type, lease.limited_key, held.task_id, held.task_type
        from taskq.lease
        cross join lateral unnest(lease.task_ids, lease.task_types) as held (task_id, task_type)
        where held.task_id <> all (lease.done)
    ),
    -- Those that are alike for all limits.
    crowd as materialized (
        select running.queue, running.task_type, running.limited_type, running.limited_key, count(*) as number
        from running
        group by running.queue, running.task_type, running.limited_type, running.limited_key
    ),
    excess as (
        select limits.scope, limits.name, limits.most, used.key, used.number
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
        where limits.kind in ('concurrency', 'sequence')
          and used.number > limits.most
        order by limits.scope, limits.name, used.key
        limit 20
    ),
    forgotten as (
        select count(*) as number
        from (
            select unique_key.task_id
            from taskq.unique_key
            where unique_key.until <> 'within'
            limit 10000
        ) as held
        where not exists (select from taskq.task where task.task_id = held.task_id)
          and held.task_id not in (select running.task_id from running)
    )
    select
        'over limit',
        'warning',
        excess.name,
        format(
            '%s tasks of %s %s%s run, and %s may',
            excess.number,
            replace(case excess.scope when 'key' then 'task_type' else excess.scope end, '_', ' '),
            excess.name,
            case when excess.key is not null then ' with one key' else '' end,
            excess.most
        ),
        'nothing, if the limit has just been lowered: no more start until fewer run; otherwise see that all workers are of a release that knows limits',
        null,
        null
    from excess
    union all
    select
        'keys',
        'warning',
        'unique_key',
        format('%s keys are held by tasks that have ended', taskq.up_to(forgotten.number, 10000)),
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
-- tasks, or a hundred of each lane.
create function taskq.ail_pace(patience interval, most bigint) returns setof taskq.ailment
language sql
as $ail_pace$
    with recursive lane as (
        (
            select task.queue, task.task_type, task.payload_version, task.crashes, task.priority, task.run_at, 1 as position
            from taskq.task
            order by task.queue, task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            limit 1
        )
        union all
        select next.*, lane.position + 1
        from lane
        cross join lateral (
            select task.queue, task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            from taskq.task
            where (task.queue, task.task_type, task.payload_version, task.crashes, task.priority)
                > (lane.queue, lane.task_type, lane.payload_version, lane.crashes, lane.priority)
            order by task.queue, task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            limit 1
        ) as next
        where lane.position < 1000
    ),
    served as materialized (
        select distinct lane.queue, lane.task_type
        from lane
        join (
            -- Workers of one program are alike.
            select declared.queues, unnest(declared.task_types) as task_type
            from (
                select distinct worker.queues, worker.task_types
                from taskq.worker
                where worker.expires_at > now()
            ) as declared
        ) as known
          on known.task_type = lane.task_type
         and lane.queue = any (known.queues)
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
              from taskq.limits
              where limits.most = 0
                and case limits.scope
                    when 'queue' then limits.name = lane.queue
                    else lane.task_type = any (limits.name || limits.aliases)
                end
          )
    ),
    reach as (
        select greatest(most / greatest(count(*), 1), 100) as each
        from startable
    ),
    counted as (
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
            '%s tasks of queue %s are due, the oldest for %s. In the last %s %s came in a minute and %s ended: ',
            case when late.is_exact then '' else 'about ' end || late.due,
            late.queue,
            taskq.in_words(late.age),
            taskq.in_words(patience),
            round(late.comes * 60, 1),
            round(late.ends * 60, 1)
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

-- Returns who has Postgres keep dead rows: whose transaction stays open, here or on a standby.
create function taskq.ail_horizon(patience interval) returns setof taskq.ailment
language sql
stable
as $ail_horizon$
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
            'end that transaction where it was begun; or end the session: what it has written is rolled back' as advice,
            'end-session ' || pid as command,
            'select taskq.end_session(' || pid || ')' as statement
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
            null,
            format('rollback prepared %L', gid)
        from pg_prepared_xacts
        where prepared < clock_timestamp() - patience
        union all
        select
            'replication slot ' || slot_name,
            null,
            case when active then 'in use' else 'used by nobody' end || format(', %s transactions behind', age(xmin)),
            'end the long query on its standby, turn hot_standby_feedback off there, or drop the slot if nobody needs it',
            null,
            case when not active then format('select pg_drop_replication_slot(%L)', slot_name) end
        from pg_replication_slots
        where age(xmin) > 100000
        union all
        select
            format('standby %s', coalesce(nullif(application_name, ''), client_addr::text, pid::text)),
            null,
            format('%s transactions behind', age(backend_xmin)),
            'end the long query on it, or turn hot_standby_feedback off there',
            null,
            null
        from pg_stat_replication
        where age(backend_xmin) > 100000
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
        held.command,
        held.statement
    from held
    cross join dead
$ail_horizon$;

-- Returns what is wrong with the tables: dead rows that stay, autovacuum that does not come, indexes that do not serve.
create function taskq.ail_tables() returns setof taskq.ailment
language sql
stable
as $ail_tables$
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
        'index',
        'error',
        class.relname::text,
        format('index %s is not valid: statements do not use it', class.relname),
        'build it anew',
        null,
        format('reindex index concurrently %s', class.oid::regclass)
    from pg_index as index
    join pg_class as class on class.oid = index.indexrelid
    where class.relnamespace = 'taskq'::regnamespace
      and not index.indisvalid
$ail_tables$;

-- Returns whether Postgres would claim by the index of the lanes: as claims do, it looks for the head of a lane.
create function taskq.ail_plan() returns setof taskq.ailment
language plpgsql
as $ail_plan$
declare
    lane record;
    plan json;
begin
    -- Of few rows Postgres reads all, and is right.
    if (select reltuples < 10000 from pg_class where oid = 'taskq.task'::regclass) then
        return;
    end if;
    select task.queue, task.task_type, task.payload_version, task.crashes, task.priority
    into lane
    from taskq.task
    order by task.task_id
    limit 1;
    if not found then
        return;
    end if;
    execute format(
        'explain (format json)
         select task.ctid
         from taskq.task
         where task.queue = %L
           and task.task_type = %L
           and task.payload_version = %s
           and task.crashes = %s
           and task.priority = %s
           and (task.run_at, task.task_id) > (''-infinity'', 0)
           and task.run_at <= now()
         order by task.run_at, task.task_id
         limit 100',
        lane.queue,
        lane.task_type,
        lane.payload_version,
        lane.crashes,
        lane.priority
    )
    into plan;
    if position('"task_lane"' in plan::text) > 0 then
        return;
    end if;
    return query
    select
        'claim plan',
        'error',
        'task_lane',
        format(
            'claims do not go by the index task_lane: Postgres would find the next tasks of type %s in queue %s by "%s"',
            lane.task_type,
            lane.queue,
            plan #>> '{0,Plan,Plans,0,Node Type}'
        ),
        case
            when to_regclass('taskq.task_lane') is null then 'make the index again: migration 0002_lanes has the statement'
            else 'have Postgres look at the table anew; if that does not help, see which enable_ settings are off'
        end,
        null::text,
        case when to_regclass('taskq.task_lane') is not null then 'analyze taskq.task' end;
end
$ail_plan$;

-- Returns which bounds of connections are nearly reached: of the server, of this database, of a role.
create function taskq.ail_connections() returns setof taskq.ailment
language sql
stable
as $ail_connections$
    with room as (
        select
            'max_connections' as subject,
            'the server' as whose,
            (select count(*) from pg_stat_activity where backend_type = 'client backend') as used,
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint as most
        union all
        select
            'connection limit',
            'database ' || datname,
            (select count(*) from pg_stat_activity where pg_stat_activity.datid = pg_database.oid and backend_type = 'client backend'),
            datconnlimit
        from pg_database
        where datname = current_database()
          and datconnlimit >= 0
        union all
        select
            'connection limit',
            'role ' || rolname,
            (select count(*) from pg_stat_activity where pg_stat_activity.usesysid = pg_roles.oid and backend_type = 'client backend'),
            rolconnlimit
        from pg_roles
        where rolconnlimit > 0
          and rolcanlogin
    )
    select
        'connections',
        'warning',
        room.subject,
        format('%s of the %s connections that %s allows are in use', room.used, room.most, room.whose),
        format('have pools of fewer connections, or a larger %s; a worker needs 10', room.subject),
        null,
        null
    from room
    where room.used > room.most * 0.9
$ail_connections$;

-- Returns which settings hurt, as this session has them: those of the server, the database or the role.
create function taskq.ail_settings() returns setof taskq.ailment
language sql
stable
as $ail_settings$
    with given as (
        select
            setting.name,
            setting.source,
            current_setting(setting.name) as value,
            case when setting.unit = 'ms' then setting.setting::bigint else 0 end as ms,
            setting.setting
        from pg_settings as setting
        where setting.name in (
            'autovacuum', 'track_counts', 'fsync', 'full_page_writes', 'synchronous_commit', 'enable_indexscan',
            'default_transaction_read_only', 'default_transaction_isolation', 'session_replication_role',
            'statement_timeout', 'lock_timeout', 'idle_session_timeout'
        )
    ),
    found as (
        select given.*, known.severity, known.why
        from given
        join (
            values
                ('autovacuum', 'error', 'claims become slower with each task'),
                ('track_counts', 'error', 'autovacuum does not know what to do'),
                ('enable_indexscan', 'error', 'each claim reads the whole table'),
                ('fsync', 'warning', 'a crash of the machine may destroy the database'),
                ('full_page_writes', 'warning', 'a crash of the machine may destroy the database'),
                ('synchronous_commit', 'warning', 'after a crash of the server tasks may run again that had completed'),
                ('default_transaction_read_only', 'error', 'nothing can be enqueued or claimed'),
                ('default_transaction_isolation', 'warning', 'claims that meet fail, and are tried again'),
                ('session_replication_role', 'error', 'triggers do not fire, so nobody is woken and keys are missing'),
                ('statement_timeout', 'warning', 'it may stop claims on a busy machine'),
                ('lock_timeout', 'warning', 'it may stop claims on a busy machine'),
                ('idle_session_timeout', 'warning', 'it ends the connections on which workers listen')
        ) as known (name, severity, why) on known.name = given.name
        where case
            when given.name = 'default_transaction_isolation' then given.setting <> 'read committed'
            when given.name = 'session_replication_role' then given.setting <> 'origin'
            when given.name = 'default_transaction_read_only' then given.setting = 'on'
            when given.name = 'idle_session_timeout' then given.ms > 0
            when given.name in ('statement_timeout', 'lock_timeout') then given.ms between 1 and 999
            else given.setting = 'off'
        end
    )
    select
        'setting',
        found.severity,
        found.name,
        format('%s is %s%s: %s', found.name, found.value, place.words, found.why),
        'set it otherwise, for the roles of workers at least',
        null,
        place.statement
    from found
    cross join lateral (
        select
            case found.source
                when 'database' then ' for this database'
                when 'user' then ' for this role'
                when 'database user' then ' for this role in this database'
                when 'client' then ' by the client'
                when 'session' then ' in this session'
                else ''
            end as words,
            case
                when found.source = 'database' then format('alter database %I reset %s', current_database(), found.name)
                when found.source = 'user' then format('alter role %I reset %s', session_user, found.name)
                when found.source = 'database user'
                    then format('alter role %I in database %I reset %s', session_user, current_database(), found.name)
                when found.source not in ('client', 'session') then format('alter system reset %s', found.name)
            end as statement
    ) as place
    union all
    select
        'encoding',
        'warning',
        'server_encoding',
        format(
            'the database has the encoding %s: of a task whose payload or error has a letter that it lacks, the row is refused',
            current_setting('server_encoding')
        ),
        'have the tables in a database with the encoding UTF8',
        null,
        null
    where current_setting('server_encoding') <> 'UTF8'
    union all
    select
        'standby',
        'error',
        'standby',
        'this server is a standby: nothing can be enqueued or claimed here',
        'connect to the primary',
        null,
        null
    where pg_is_in_recovery()
$ail_settings$;

-- Returns what workers and operators need beside the usage of the schema: see roles.sql.
create function taskq.needed_rights() returns table (part text, kind text, name text, rights text[])
language sql
immutable
as $needed_rights$
    select 'claim', 'table', given.name, '{select,insert,update,delete}'::text[]
    from unnest(array[
        'task', 'lease', 'dead', 'history', 'worker', 'sleeper', 'counter', 'frontier', 'refused', 'unique_key', 'schedule',
        'schedule_definition', 'limit_definition', 'limit_rule', 'gate', 'minute'
    ]) as given (name)
    union all
    select 'claim', 'table', given.name, '{select}'
    from unnest(array['migration', 'tasks', 'pause', 'sequence_block']) as given (name)
    union all
    select 'claim', 'table', 'secret_field', '{select,insert}'
    union all
    select 'claim', 'function', given.name, '{execute}'
    from unnest(array[
        'prune_history', 'prune_history_day', 'advance_ids', 'take_back', 'take_keys', 'prune_keys', 'backfill_schedule',
        'write_down'
    ]) as given (name)
    union all
    select 'cancel', 'table', given.name, '{insert,update,delete}'
    from unnest(array['pause', 'schedule', 'schedule_definition', 'limit_rule']) as given (name)
    union all
    select 'cancel', 'table', 'sequence_block', '{delete}'
    union all
    select 'cancel', 'function', given.name, '{execute}'
    from unnest(array[
        'put_pause', 'end_pause', 'pause_queue', 'pause_task_type', 'resume_queue', 'resume_task_type', 'backfill_schedule',
        'cancel', 'retry', 'discard', 'edit', 'enqueue_by_hand', 'freeze_bulk', 'begin_bulk', 'step_bulk', 'stop_bulk',
        'drop_bulk', 'put_limit', 'end_limit', 'limit_concurrency', 'limit_rate', 'reset_limits', 'skip_dead', 'set_weight',
        'stop_worker', 'forget_worker', 'run_schedule', 'remove_schedule', 'take_back', 'end_session', 'write_down'
    ]) as given (name)
$needed_rights$;

-- Returns which rights a role lacks that was given a part of those of a worker or of an operator.
create function taskq.ail_rights() returns setof taskq.ailment
language sql
stable
as $ail_rights$
    with role as (
        select 'claim' as part, granted.grantee, class.relowner as owner
        from pg_class as class
        cross join lateral aclexplode(class.relacl) as granted
        where class.oid = 'taskq.lease'::regclass
          and granted.privilege_type = 'INSERT'
        union
        select 'cancel', granted.grantee, proc.proowner
        from pg_proc as proc
        cross join lateral aclexplode(proc.proacl) as granted
        where proc.pronamespace = 'taskq'::regnamespace
          and proc.proname = 'cancel'
    ),
    lacking as (
        select
            role.part,
            role.grantee,
            needed.kind,
            coalesce(class.oid::regclass::text, proc.oid::regprocedure::text) as object,
            wanted.privilege
        from role
        join taskq.needed_rights() as needed on needed.part = role.part
        cross join lateral unnest(needed.rights) as wanted (privilege)
        left join pg_class as class
          on needed.kind = 'table'
         and class.relnamespace = 'taskq'::regnamespace
         and class.relname = needed.name
        left join pg_proc as proc
          on needed.kind = 'function'
         and proc.pronamespace = 'taskq'::regnamespace
         and proc.proname = needed.name
        where role.grantee not in (0, role.owner)
          and case needed.kind
              when 'table' then not has_table_privilege(role.grantee, class.oid, wanted.privilege)
              else not has_function_privilege(role.grantee, proc.oid, wanted.privilege)
          end
        union all
        select role.part, role.grantee, 'schema', 'taskq'::regnamespace::text, 'usage'
        from role
        where role.grantee not in (0, role.owner)
          and not has_schema_privilege(role.grantee, 'taskq'::regnamespace, 'usage')
    ),
    by_object as (
        select
            lacking.part,
            lacking.grantee,
            format(
                'grant %s on %s%s to %s',
                string_agg(lacking.privilege, ', ' order by lacking.privilege),
                case lacking.kind when 'table' then '' else lacking.kind || ' ' end,
                lacking.object,
                lacking.grantee::regrole
            ) as grant_statement,
            format('%s %s', string_agg(lacking.privilege, ', ' order by lacking.privilege), lacking.object) as words
        from lacking
        group by lacking.part, lacking.grantee, lacking.kind, lacking.object
    )
    select
        'rights',
        'error',
        by_object.grantee::regrole::text,
        format(
            'role %s may %s tasks, and lacks other rights of %s: %s',
            by_object.grantee::regrole,
            by_object.part,
            case by_object.part when 'claim' then 'a worker' else 'an operator' end,
            string_agg(by_object.words, '; ' order by by_object.words)
        ),
        'grant them as the owner of the tables: a newer migration may have added some, and roles.sql has all',
        null,
        string_agg(by_object.grant_statement, '; ' order by by_object.grant_statement)
    from by_object
    group by by_object.part, by_object.grantee
$ail_rights$;

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
select 17, 'doctor', max(oldest_binary) from taskq.migration;

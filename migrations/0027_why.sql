-- Says of one task why it does not run, and which attempts are perhaps stuck.

-- Returns a number with its thousands apart.
create function taskq.grouped(number numeric) returns text
language sql
immutable
parallel safe
return regexp_replace(number::text, '(?<=\d)(?=(\d{3})+(\.|$))', ',', 'g');

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
        else taskq.grouped(seconds / 86400) || ' days'
    end
    from (select extract(epoch from in_words.span)::bigint as seconds) as given
);

-- Returns a number that was counted up to a limit only.
create function taskq.up_to(number bigint, most bigint) returns text
language sql
immutable
parallel safe
return case when number >= most then 'at least ' else '' end || taskq.grouped(least(number, most));

-- Returns what agrees with a number: a noun or a verb.
create function taskq.one_or_many(number numeric, one text, many text) returns text
language sql
immutable
parallel safe
return case number when 1 then one else many end;

-- Returns a number, which was perhaps counted up to a limit only, and its noun.
create function taskq.counted(number bigint, noun text, most bigint default null) returns text
language sql
immutable
parallel safe
return taskq.up_to(number, most) || ' ' || taskq.one_or_many(number, noun, noun || 's');

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

-- Returns how long attempts of some kinds, each a queue and a task type, usually take: so that 99 of 100 of the last day took
-- no longer. No row for a kind with fewer than twenty. Of more than four kinds it looks at some minutes of the day only, as far
-- from each other: at 6,000 in all, and at one of each kind at least.
create function taskq.usual_runs(of_queues text[], of_types text[]) returns table (
    queue text,
    task_type text,
    longest interval
)
language sql
stable
as $usual_runs$
    with counted as (
        select kind.queue, kind.task_type, run.place, sum(run.number) as number
        from unnest(of_queues, of_types) as kind (queue, task_type)
        cross join (
            select interval '1 minute' * ceil(1440 * cardinality(of_types) / 6000.0) as length
        ) as step
        -- Whoever looks again looks at the same minutes.
        cross join lateral generate_series(
            date_bin(step.length, now(), 'epoch'),
            now() - interval '1 day',
            - step.length
        ) as looked_at (minute)
        -- One probe for each: all minutes of a day are read for what few kinds did in them, if Postgres may choose.
        cross join lateral (
            select minute.runs
            from taskq.minute
            where minute.minute = looked_at.minute
              and minute.queue = kind.queue
              and minute.task_type = kind.task_type
            limit 1
        ) as found
        cross join lateral unnest(found.runs) with ordinality as run (number, place)
        group by kind.queue, kind.task_type, run.place
    ),
    summed as (
        select
            counted.queue,
            counted.task_type,
            counted.place,
            sum(counted.number) over (partition by counted.queue, counted.task_type order by counted.place) as up_to_here,
            sum(counted.number) over (partition by counted.queue, counted.task_type) as total
        from counted
    )
    -- The place in the array says below how many milliseconds that was: see taskq.minute.
    select summed.queue, summed.task_type, min(2 ^ (summed.place - 1)) * interval '1 millisecond'
    from summed
    where summed.total >= 20
      and summed.up_to_here >= summed.total * 0.99
    group by summed.queue, summed.task_type
$usual_runs$;

-- What workers see of their attempts that block their threads, and of those that have been in a transaction for twenty seconds. Each
-- worker writes of its own, where there is something to say; the rows go with it.
create table taskq.watched (
    worker_id     uuid   not null references taskq.worker on delete cascade,
    task_id       bigint not null,
    -- The thread that it blocks, if it does.
    thread        text,
    -- Since when it does.
    blocked_since timestamptz,
    -- The process of the server that works for its transaction.
    backend       integer,
    constraint watched_pkey primary key (worker_id, task_id)
)
with (fillfactor = 50);

-- Says what to do about a handler that blocks its thread.
create function taskq.blocks_thread() returns text
language sql
immutable
return 'nothing can stop such a handler but the end of its process: restart that if it does not go on; work that blocks belongs in `spawn_blocking`';

-- Returns the attempts that have run for longer than this and four times as long as is usual for their type in their queue,
-- and those that block their threads: perhaps they are stuck. A hundred at the most, the oldest first. `thread` is the one that is blocked.
-- `doing` is what is known: for how long the thread has been blocked, what the attempt has said last of how far it is, and what its session
-- does. That is the one which its worker names, or else the only one whose transaction began with the attempt.
create function taskq.stuck(longer_than interval default '1 minute') returns table (
    task_id bigint,
    task_type text,
    queue text,
    claimed_at timestamptz,
    usual interval,
    worker_id uuid,
    host text,
    process_id integer,
    doing text,
    thread text
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $stuck$
    -- With what has ended, whose rows say as much: nearly always none of a kind is stuck, and nothing more is read.
    with kind as materialized (
        select held.queue, held.task_type, min(held.claimed_at) as oldest_at
        from (
            select lease.queue, lease.claimed_at, unnest(lease.task_types) as task_type
            from taskq.lease
            where lease.claimed_at < now() - longer_than
        ) as held
        group by held.queue, held.task_type
    ),
    slow as materialized (
        select kind.queue, kind.task_type, usual.longest
        from (
            select array_agg(kind.queue) as queues, array_agg(kind.task_type) as task_types
            from kind
        ) as kinds
        cross join lateral taskq.usual_runs(kinds.queues, kinds.task_types) as usual
        join kind on kind.queue = usual.queue and kind.task_type = usual.task_type
        where now() - kind.oldest_at > 4 * usual.longest
    ),
    long as (
        select held.task_id, held.task_type, held.queue, held.claimed_at, held.worker_id, slow.longest
        from slow
        cross join lateral (
            select
                lease.queue,
                lease.claimed_at,
                lease.worker_id,
                lease.done,
                unnest(lease.task_ids) as task_id,
                unnest(lease.task_types) as task_type
            from taskq.lease
            where lease.queue = slow.queue
              and lease.claimed_at < now() - longer_than
              and now() - lease.claimed_at > 4 * slow.longest
        ) as held
        where held.task_type = slow.task_type
          and held.task_id <> all (held.done)
    ),
    -- Nearly always none.
    blocking as (
        select
            watched.task_id,
            lease.task_types[array_position(lease.task_ids, watched.task_id)] as task_type,
            lease.queue,
            lease.claimed_at,
            lease.worker_id,
            null::interval as longest
        from taskq.watched
        join taskq.lease
          on lease.worker_id = watched.worker_id
         and watched.task_id = any (lease.task_ids)
         and watched.task_id <> all (lease.done)
        where watched.blocked_since is not null
          and not exists (select from long where long.task_id = watched.task_id)
    ),
    those as (
        select * from long
        union all
        select * from blocking
    ),
    -- Read once: what runs may be a hundred times as many.
    alive as materialized (
        select worker.worker_id, worker.host, worker.process_id
        from taskq.worker
        where worker.expires_at > now()
    )
    select
        those.task_id,
        those.task_type,
        those.queue,
        those.claimed_at,
        those.longest,
        those.worker_id,
        alive.host,
        alive.process_id,
        nullif(
            concat_ws(
                '; ',
                'it has blocked the thread ' || watched.thread || ' for ' || taskq.in_words(now() - watched.blocked_since),
                (
                    select format(
                        'it said %s ago: %s',
                        taskq.in_words(now() - progress.said_at),
                        concat_ws(', ', round((100 * progress.fraction)::numeric) || ' %', nullif(progress.said, ''))
                    )
                    from taskq.progress
                    where progress.task_id = those.task_id
                ),
                (
                    select case
                        when count(*) = 1 then min(
                            format(
                                'session %s, whose transaction %s, %s, last statement: %s',
                                session.pid,
                                case when watched.backend is null then 'began with it' else 'it has' end,
                                concat_ws(' and waits for ', session.state, session.wait_event_type || ' ' || session.wait_event),
                                left(regexp_replace(session.query, '\s+', ' ', 'g'), 120)
                            )
                        )
                    end
                    from pg_stat_activity as session
                    where session.datname = current_database()
                      and session.pid <> pg_backend_pid()
                      and case
                          when watched.backend is null
                              then session.xact_start between those.claimed_at and those.claimed_at + interval '1 second'
                          else session.pid = watched.backend
                      end
                )
            ),
            ''
        ),
        watched.thread
    from those
    join alive on alive.worker_id = those.worker_id
    left join lateral (
        select watched.thread, watched.blocked_since, watched.backend
        from taskq.watched
        where watched.worker_id = those.worker_id
          and watched.task_id = those.task_id
    ) as watched on true
    order by those.claimed_at, those.task_id
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
                cross join lateral unnest(
                    lease.task_ids,
                    lease.task_types,
                    case when limits.scope = 'key' and lease.limited_key is null then lease.payloads end
                ) as held (task_id, task_type, payload)
                where held.task_id <> all (lease.done)
                  and case limits.scope
                      when 'queue' then lease.queue = limits.name
                      when 'task_type' then held.task_type = any (limits.name || limits.aliases)
                      else lease.limited_type = limits.name
                          and coalesce(lease.limited_key, taskq.limit_key(held.payload, limits.fields)) = bound.key
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
            end
            || coalesce('; a worker that came to it did not have the key ' || (of_task.metadata #>> '{task.missing_key,key}'), ''),
        case when of_task.metadata ? 'task.missing_key' then 'give that key to all workers; ' else '' end
            || 'to run it now, retry it',
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
                taskq.grouped(bound.most),
                scope.words,
                taskq.in_words(bound.seconds * interval '1 second'),
                taskq.in_words(bound.opens_at - now())
            )
            when bound.most = 0 then format('%s is limited to nothing', scope.words)
            else format(
                    '%s of %s of %s %s',
                    taskq.grouped(cardinality(bound.holders)),
                    taskq.grouped(bound.most),
                    scope.words,
                    taskq.one_or_many(cardinality(bound.holders), 'runs', 'run')
                )
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
            (
                select 1
                from taskq.task
                where task.queue = waiting.queue
                  and task.task_type = waiting.task_type
                  and task.payload_version = waiting.payload_version
                  and task.crashes = waiting.crashes
                  and task.priority = waiting.priority
                  and task.run_at < waiting.run_at
                limit 10000
            )
            union all
            -- By itself: a scan up to a time and an id goes on to the last task that is due at that time.
            (
                select 1
                from taskq.task
                where task.queue = waiting.queue
                  and task.task_type = waiting.task_type
                  and task.payload_version = waiting.payload_version
                  and task.crashes = waiting.crashes
                  and task.priority = waiting.priority
                  and task.run_at = waiting.run_at
                  and task.task_id < waiting.task_id
                limit 10000
            )
            limit 10000
        ) as older;
        reason := 'next';
        said := (
            select format(
                'it has been due for %s. Before it %s %s of its type and priority, and its workers have %s, of which %s %s in use',
                taskq.in_words(now() - waiting.run_at),
                taskq.one_or_many(ahead, 'stands', 'stand'),
                taskq.up_to(ahead, 10000),
                taskq.counted(coalesce(sum(workers.slots), 0), 'slot'),
                taskq.grouped(coalesce(sum(workers.running), 0)),
                taskq.one_or_many(sum(workers.running), 'is', 'are')
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
            said := case
                when clock_timestamp() - running.claimed_at < interval '1 second' then format('%s has just claimed it', place)
                else format('%s has had it for %s', place, taskq.in_words(clock_timestamp() - running.claimed_at))
            end;
            select found.* into stuck from taskq.stuck() as found where found.task_id = why.task_id;
            if found then
                reason := 'perhaps stuck';
                said := concat_ws('; ', said || coalesce(': 99 of 100 of its type take less than ' || taskq.in_words(stuck.usual), ''), stuck.doing);
                if stuck.thread is not null then
                    advice := taskq.blocks_thread();
                else
                    advice := 'see in the log of that worker, or in pg_stat_activity, what its handler waits for; then cancel it';
                    command := 'cancel ' || why.task_id;
                    statement := format('select taskq.cancel(%s)', why.task_id);
                end if;
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

insert into taskq.migration (version, name, oldest_binary)
select 27, 'why', max(oldest_binary) from taskq.migration;

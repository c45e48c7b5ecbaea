-- Finds tasks by a filter, says why tasks died, and has operators do to all that match what they do to one.

-- Causes: what dead tasks died of, so that five thousand of them are three lines.

-- Returns an error without what differs from task to task: ids, numbers, times. The place of a panic stays. What the state
-- says already needs no text.
create function taskq.cause_text(state text, error text) returns text
language plpgsql
immutable
parallel safe
as $cause_text$
declare
    place text;
    said text := cause_text.error;
begin
    if state = 'quarantined' then
        return 'its worker vanished';
    elsif state = 'expired' then
        return 'it did not start in time';
    end if;
    place := coalesce(substring(said from '^panicked at [^\n]+?:[0-9]+: '), '');
    said := substr(said, length(place) + 1);
    said := regexp_replace(said, '[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}', '#', 'g');
    said := regexp_replace(said, '[0-9A-Za-z_]*[0-9][0-9A-Za-z_]*', '#', 'g');
    said := regexp_replace(said, '#([-.,:/+]+#)+', '#', 'g');
    return place || left(said, 500);
end
$cause_text$;

-- Returns the id of a cause: tasks of one type and state, with errors of one text, have it in common.
create function taskq.cause_of(task_type text, state text, errors jsonb) returns text
language sql
immutable
parallel safe
return lpad(
    to_hex(
        hashtextextended(
            cause_of.task_type || E'\n' || cause_of.state || E'\n'
                || coalesce(taskq.cause_text(cause_of.state, cause_of.errors -> -1 ->> 'error'), ''),
            0
        )
    ),
    16,
    '0'
);

-- Made where a task dies, whoever writes the row: a worker of any version, a rescue, an operator.
alter table taskq.dead
    add column cause text generated always as (taskq.cause_of(task_type, state, errors)) stored;

create index dead_cause on taskq.dead (cause, finished_at, task_id);

-- As lists have them.
create index refused_at on taskq.refused (refused_at, task_id);

-- The filter: an object of
--   state      waiting, due, scheduled, running, completed, refused; discarded, cancelled, invalid, quarantined, expired, or
--              all five: dead
--   queue, type            names;      queue_like, type_like      patterns of `like`
--   payload    [{"path": ["usr_id"], "values": ["42"]}, ...]: a field, as text
--   error      parts of the last error, in any case
--   older, newer           so many seconds
--   cause, id
--   secret     {"send_card": ["pin"]}: fields of types that the asker knows to be secret, and the tables perhaps not
-- A task matches if it matches each. Where there are several values, one of them is enough.

-- Fails, and says what is wrong with a filter. A secret field cannot be looked for: that would tell its value.
create function taskq.check_filter(filter jsonb) returns void
language plpgsql
stable
as $check_filter$
declare
    problem text;
begin
    if jsonb_typeof(filter) is distinct from 'object' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a filter is a JSON object';
    end if;
    select
        case
            when known.kind is null then format(
                'a filter has no %L: it has state, queue, queue_like, type, type_like, payload, error, older, newer, cause, id',
                given.name
            )
            when known.kind <> jsonb_typeof(given.value)
                then format('%L of a filter is of type %s, not %s', given.name, known.kind, jsonb_typeof(given.value))
        end
    into problem
    from jsonb_each(filter) as given (name, value)
    left join (
        values
            ('state', 'array'),
            ('queue', 'array'),
            ('queue_like', 'array'),
            ('type', 'array'),
            ('type_like', 'array'),
            ('payload', 'array'),
            ('error', 'array'),
            ('older', 'number'),
            ('newer', 'number'),
            ('cause', 'array'),
            ('id', 'array'),
            ('secret', 'object')
    ) as known (name, kind) on known.name = given.name
    where known.kind is distinct from jsonb_typeof(given.value)
    order by given.name
    limit 1;
    if problem is null then
        select format('%L of a filter has no value, or one that is null', given.name)
        into problem
        from jsonb_each(filter) as given (name, value)
        where given.value = '[]'
           or given.value @> '[null]'
        order by given.name
        limit 1;
    end if;
    if problem is null and filter ? 'state' then
        select format(
            'there is no state %L: they are waiting, due, scheduled, running, completed, refused, dead, discarded, cancelled, invalid, quarantined, expired',
            said
        )
        into problem
        from jsonb_array_elements_text(filter -> 'state') as said
        where said not in (
            'waiting', 'due', 'scheduled', 'running', 'completed', 'refused', 'dead', 'discarded', 'cancelled', 'invalid',
            'quarantined', 'expired'
        )
        limit 1;
    end if;
    if problem is null
        and exists (
            select
            from jsonb_array_elements(filter -> 'payload') as said
            where jsonb_typeof(said -> 'path') is distinct from 'array'
               or jsonb_typeof(said -> 'values') is distinct from 'array'
               or '[]' in (said -> 'path', said -> 'values')
               or said -> 'path' @> '[null]'
               or said -> 'values' @> '[null]'
        )
    then
        problem := 'a field of the payload is an object with two arrays, path and values, of one text at least';
    end if;
    if problem is null
        and exists (select from jsonb_array_elements_text(filter -> 'id') as said where said !~ '^-?[0-9]{1,18}$')
    then
        problem := 'an id is a whole number';
    end if;
    if problem is null and filter ? 'payload' then
        select format(
            '%I is a secret field of tasks of type %s, so a filter cannot look for it; for a field of that name of another type say its type',
            secret_field.field,
            secret_field.task_type
        )
        into problem
        from jsonb_array_elements(filter -> 'payload') as said
        join (
            select secret_field.task_type, secret_field.field
            from taskq.secret_field
            union
            select known.task_type, jsonb_array_elements_text(known.fields)
            from jsonb_each(filter -> 'secret') as known (task_type, fields)
        ) as secret_field on secret_field.field = said -> 'path' ->> 0
        where not filter ?| array['type', 'type_like']
           or secret_field.task_type = any (array(select jsonb_array_elements_text(filter -> 'type')))
           or secret_field.task_type like any (array(select jsonb_array_elements_text(filter -> 'type_like')))
        order by secret_field.task_type, secret_field.field
        limit 1;
    end if;
    if problem is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = problem;
    end if;
end
$check_filter$;

-- Returns the states that a filter lets through; null: all.
create function taskq.filter_states(filter jsonb) returns text[]
language sql
immutable
return case
    when filter ? 'state' then (
        select array_agg(distinct one.state)
        from jsonb_array_elements_text(filter -> 'state') as said (state)
        cross join unnest(
            case said.state
                when 'dead' then array['discarded', 'cancelled', 'invalid', 'quarantined', 'expired']
                else array[said.state]
            end
        ) as one (state)
    )
end;

-- Returns the places at which tasks may match, in the order in which lists have them.
create function taskq.filter_places(filter jsonb) returns text[]
language sql
immutable
return (
    select array_agg(place.name order by place.position)
    from (
        values
            (1, 'running', array['running']),
            (2, 'waiting', array['waiting', 'due', 'scheduled']),
            (3, 'dead', array['discarded', 'cancelled', 'invalid', 'quarantined', 'expired']),
            (4, 'refused', array['refused']),
            (5, 'completed', array['completed'])
    ) as place (position, name, states)
    where (taskq.filter_states(filter) is null or place.states && taskq.filter_states(filter))
      and (place.name = 'dead' or not filter ? 'cause')
);

-- Returns the statement that reads a place: all of it, or the tasks of which a filter $1 says the ids.
create function taskq.place_source(filter jsonb, place text) returns text
language sql
immutable
return (
    select case place
        -- The newest leases first, so that a list need not open the others.
        when 'running' then format(
            'select held.task_id, held.task_type, ''running'' as state, lease.queue, held.priority, held.payload,
                 held.attempts, held.max_attempts, held.crashes, held.errors, held.metadata, newest.claimed_at as at, held.run_at,
                 lease.worker_id, null::text as cause
             from (select lease_id, claimed_at from taskq.lease%s order by claimed_at desc offset 0) as newest
             join taskq.lease on lease.lease_id = newest.lease_id
             cross join lateral taskq.left_in(lease) as held%s',
            ' where task_ids && ' || said.ids,
            ' where held.task_id = any (' || said.ids || ')'
        )
        when 'waiting' then
            'select task_id, task_type, ''waiting'' as state, queue, priority, payload, attempts, max_attempts, crashes,
                 errors, metadata, created_at as at, run_at, null::uuid as worker_id, null::text as cause
             from taskq.task'
        when 'dead' then
            'select task_id, task_type, state, queue, priority, payload, attempts, max_attempts, crashes, errors, metadata,
                 finished_at as at, null::timestamptz as run_at, null::uuid as worker_id, cause
             from taskq.dead'
        when 'refused' then
            'select task_id, task_type, ''refused'' as state, queue, priority, payload, attempts, max_attempts, crashes,
                 errors, metadata, refused_at as at, run_at, null::uuid as worker_id, null::text as cause
             from taskq.refused'
        when 'completed' then
            'select task_id, task_type, ''completed'' as state, queue, priority, payload, attempts,
                 null::integer as max_attempts, 0 as crashes, errors, metadata, finished_at as at, null::timestamptz as run_at,
                 null::uuid as worker_id, null::text as cause
             from taskq.history'
    end || case when place <> 'running' then coalesce(' where task_id = any (' || said.ids || ') offset 0', '') else '' end
    from (
        select case when filter ? 'id' then 'array(select said::bigint from jsonb_array_elements_text($1 -> ''id'') as said)' end as ids
    ) as said
);

-- Returns the conditions of a filter $1 that an index of the place may serve, on what taskq.place_source calls `found`.
create function taskq.filter_near(filter jsonb, place text) returns text
language sql
immutable
return concat(
    'true',
    case when filter ? 'cause' then
        -- The values themselves: the planner counts how many rows there are of each, and walks one in its order.
        format(
            case jsonb_array_length(filter -> 'cause')
                when 1 then ' and found.cause = (%L::text[])[1]'
                else ' and found.cause = any (%L::text[])'
            end,
            array(select jsonb_array_elements_text(filter -> 'cause'))
        )
    end,
    case when filter ? 'older' and place <> 'waiting' then
        ' and found.at <= now() - make_interval(secs => ($1 ->> ''older'')::float8)'
    end,
    case when filter ? 'newer' and place <> 'waiting' then
        ' and found.at >= now() - make_interval(secs => ($1 ->> ''newer'')::float8)'
    end
);

-- Returns the other conditions of a filter $1.
create function taskq.filter_far(filter jsonb, place text) returns text
language plpgsql
immutable
as $filter_far$
declare
    conditions text := 'true';
    states constant text[] := taskq.filter_states(filter);
    part record;
begin
    if place = 'dead' and states is not null then
        conditions := conditions || ' and found.state = any (taskq.filter_states($1))';
    elsif place = 'waiting' and not 'waiting' = any (states) and not array['due', 'scheduled'] <@ states then
        conditions := conditions || case when 'due' = any (states) then ' and found.run_at <= now()' else ' and found.run_at > now()' end;
    end if;
    if filter ?| array['queue', 'queue_like'] then
        conditions := conditions || ' and (found.queue = any (array(select jsonb_array_elements_text($1 -> ''queue'')))
            or found.queue like any (array(select jsonb_array_elements_text($1 -> ''queue_like''))))';
    end if;
    if filter ?| array['type', 'type_like'] then
        conditions := conditions || ' and (found.task_type = any (array(select jsonb_array_elements_text($1 -> ''type'')))
            or found.task_type like any (array(select jsonb_array_elements_text($1 -> ''type_like''))))';
    end if;
    for part in
        select position - 1 as index
        from jsonb_array_elements(filter -> 'payload') with ordinality as said (value, position)
    loop
        -- First what costs little; of what is left, what is shown has to match.
        conditions := conditions || format(
            ' and coalesce(found.payload #>> array(select jsonb_array_elements_text($1 -> ''payload'' -> %1$s -> ''path'')), ''null'')
                = any (array(select jsonb_array_elements_text($1 -> ''payload'' -> %1$s -> ''values'')))
             and coalesce(
                 taskq.shown_payload(found.payload, found.task_type, found.metadata, $1 -> ''secret'')
                     #>> array(select jsonb_array_elements_text($1 -> ''payload'' -> %1$s -> ''path'')),
                 ''null''
             ) = any (array(select jsonb_array_elements_text($1 -> ''payload'' -> %1$s -> ''values'')))',
            part.index
        );
    end loop;
    if filter ? 'error' then
        conditions := conditions || (
            select format(' and (%s)', string_agg(format('strpos(lower(found.errors -> -1 ->> ''error''), %L) > 0', lower(said)), ' or '))
            from jsonb_array_elements_text(filter -> 'error') as said
        );
    end if;
    if filter ? 'older' and place = 'waiting' then
        conditions := conditions || ' and found.at <= now() - make_interval(secs => ($1 ->> ''older'')::float8)';
    end if;
    if filter ? 'newer' and place = 'waiting' then
        conditions := conditions || ' and found.at >= now() - make_interval(secs => ($1 ->> ''newer'')::float8)';
    end if;
    return conditions;
end
$filter_far$;

-- Lists the tasks that match: what runs, what waits, what is dead, what was refused, what has completed; of each the newest
-- first, by `at` (claimed, enqueued, finished) and id. What waits is in the order of the ids alone. Looks at so many tasks
-- of each place at most, and for so long; then a last row without a task_id says that it stopped, its `place` where, and
-- `looked` at how many tasks of that place it has looked. `after` is the `place` of the row at which to go on.
create function taskq.list(
    filter jsonb default '{}',
    most integer default 50,
    after jsonb default null,
    looks integer default 100000,
    patience interval default null
) returns table (
    task_id bigint,
    task_type text,
    state text,
    queue text,
    priority smallint,
    at timestamptz,
    run_at timestamptz,
    attempts integer,
    max_attempts integer,
    crashes integer,
    error text,
    cause text,
    worker_id uuid,
    place jsonb,
    looked bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
-- A place is walked in the order of the list, until there is enough.
set enable_sort = off
set enable_bitmapscan = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $list$
#variable_conflict use_column
declare
    began constant timestamptz := clock_timestamp();
    places text[];
    name text;
    since jsonb := list.after;
    walk refcursor;
    seen record;
    room integer := list.most;
begin
    perform taskq.check_filter(list.filter);
    places := taskq.filter_places(list.filter);
    if since is not null then
        if array_position(places, since ->> 'place') is null then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = 'a list goes on after a place that this filter has given';
        end if;
        places := places[array_position(places, since ->> 'place'):];
    end if;
    foreach name in array coalesce(places, '{}') loop
        -- Of what does not match a row in fifty is enough to see the time.
        open walk no scroll for execute format(
            'select *
             from (
                 select found.*, (%s) as matches, row_number() over () as number
                 from (select * from (%s) as found where %s%s order by %s) as found
             ) as found
             where found.matches or found.number %% 50 = 0 or found.number = $3',
            taskq.filter_far(list.filter, name),
            taskq.place_source(list.filter, name),
            taskq.filter_near(list.filter, name),
            case
                when since is null then ''
                when name = 'waiting' then ' and found.task_id < ($2 ->> ''id'')::bigint'
                else ' and (found.at, found.task_id) < (($2 ->> ''at'')::timestamptz, ($2 ->> ''id'')::bigint)'
            end,
            case name when 'waiting' then 'found.task_id desc' else 'found.at desc, found.task_id desc' end
        )
        using list.filter, since, list.looks;
        loop
            fetch walk into seen;
            exit when not found;
            place := jsonb_build_object('place', name, 'at', seen.at, 'id', seen.task_id);
            if seen.matches then
                task_id := seen.task_id;
                task_type := seen.task_type;
                state := seen.state;
                queue := seen.queue;
                priority := seen.priority;
                at := seen.at;
                run_at := seen.run_at;
                attempts := seen.attempts;
                max_attempts := seen.max_attempts;
                crashes := seen.crashes;
                error := seen.errors -> -1 ->> 'error';
                cause := seen.cause;
                worker_id := seen.worker_id;
                return next;
                room := room - 1;
                if room <= 0 then
                    close walk;
                    return;
                end if;
            end if;
            -- What matches fills the page soon.
            if seen.number >= list.looks or not seen.matches and clock_timestamp() - began > list.patience then
                return query
                select
                    null::bigint, null::text, null::text, null::text, null::smallint, null::timestamptz, null::timestamptz,
                    null::integer, null::integer, null::integer, null::text, null::text, null::uuid, place, seen.number;
                close walk;
                return;
            end if;
        end loop;
        close walk;
        since := null;
    end loop;
end
$list$;

-- Returns what taskq.tasks has of one task, and opens no lease but the one that holds it.
create function taskq.tasks_of(task_id bigint) returns setof taskq.tasks
language sql
stable
as $tasks_of$
    select *
    from taskq.tasks
    where tasks.task_id = tasks_of.task_id
      and tasks.state <> 'running'
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
    where tasks_of.task_id = any (lease.task_ids)
      and held.task_id = tasks_of.task_id
$tasks_of$;

-- Tells of one task all that is stored, but for secret values; null where there is none.
create function taskq.show(task_id bigint) returns jsonb
language sql
stable
return (
    select
        to_jsonb(found) || jsonb_build_object(
            'payload', taskq.masked(found.payload, secret.fields),
            'priority', coalesce(found.priority, 0),
            'payload_version', coalesce(found.payload_version, 0),
            'attempts', coalesce(found.attempts, 0),
            'crashes', coalesce(found.crashes, 0),
            'errors', coalesce(found.errors, '[]'),
            'metadata', coalesce(found.metadata, '{}'),
            'cause', (select dead.cause from taskq.dead where dead.task_id = show.task_id),
            'refusal', (
                select taskq.masked_key(refused.refusal, found.payload, secret.fields)
                from taskq.refused
                where refused.task_id = show.task_id
                order by refused.refused_at desc
                limit 1
            ),
            'worker', (
                select jsonb_build_object('host', worker.host, 'process_id', worker.process_id, 'seen_at', worker.seen_at)
                from taskq.worker
                where worker.worker_id = found.worker_id
            ),
            -- There is no index by tasks: so many keys of its type are looked at.
            'unique_keys', (
                select coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'key', taskq.masked_key(held.key, found.payload, secret.fields),
                            'until', held.until,
                            'ends_at', held.ends_at
                        )
                        order by held.key
                    ),
                    '[]'
                )
                from (
                    select *
                    from taskq.unique_key
                    where unique_key.task_type = found.task_type
                    limit 100000
                ) as held
                where held.task_id = show.task_id
            ),
            'limit_key', (
                select taskq.masked_key(to_jsonb(task.key), found.payload, secret.fields) #>> '{}'
                from taskq.task
                where task.task_id = show.task_id
            ),
            'audit', (
                select coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'at', audit.at, 'by', audit.by, 'verb', audit.verb, 'state', audit.state, 'reason', audit.reason
                        )
                        order by audit.audit_id
                    ),
                    '[]'
                )
                from (
                    select *
                    from taskq.audit
                    where audit.task_id = show.task_id
                    order by audit.audit_id desc
                    limit 100
                ) as audit
            )
        )
    from taskq.tasks_of(show.task_id) as found
    cross join lateral (select taskq.secret_fields(found.task_type, found.metadata)) as secret (fields)
    order by found.state in ('waiting', 'running') desc, found.finished_at desc
    limit 1
);

-- Returns the statement that counts the causes of a filter $1 which is about causes, types, states and times alone. It reads
-- index dead_cause: no more than $2 entries, and two tasks of each cause. It tells of $3 causes.
create function taskq.counted_causes(filter jsonb) returns text
language sql
immutable
return format(
    'with recursive known as (
         (
             select dead.cause, 1 as position
             from taskq.dead
             order by dead.cause
             limit 1
         )
         union all
         select next.cause, known.position + 1
         from known
         cross join lateral (
             select dead.cause
             from taskq.dead
             where dead.cause > known.cause
             order by dead.cause
             limit 1
         ) as next
         where known.position <= 1000
     ),
     overflow as (
         select exists (select from known where known.position > 1000) as is_there
     ),
     -- Where there are too many, those of which the newest tasks have died.
     chosen as (
         select known.cause
         from known
         where not (select is_there from overflow)
         union all
         (
             select newest.cause
             from (select cause from taskq.dead order by finished_at desc, task_id desc limit 10000) as newest
             where (select is_there from overflow)
             group by newest.cause
             order by count(*) desc
             limit 1000
         )
     ),
     shown as materialized (
         select found.*
         from chosen
         cross join lateral (
             select *
             from (%1$s) as found
             where found.cause = chosen.cause
               and %2$s
             order by found.at desc, found.task_id desc
             limit 1
         ) as found
         where %3$s
     ),
     reach as (
         select greatest($2 / greatest(count(*), 1), 1) as counted_to
         from shown
     ),
     told as (
         select
             shown.cause,
             shown.task_type,
             shown.state,
             counted.total,
             first.at as first_at,
             shown.at as last_at,
             shown.task_id as last_task_id,
             shown.errors -> -1 ->> ''error'' as error,
             reach.counted_to
         from shown
         cross join reach
         cross join lateral (
             select count(*) as total
             from (
                 select
                 from (%1$s) as found
                 where found.cause = shown.cause
                   and %2$s
                 limit reach.counted_to
             ) as found
         ) as counted
         cross join lateral (
             select found.at
             from (%1$s) as found
             where found.cause = shown.cause
               and %2$s
             order by found.at, found.task_id
             limit 1
         ) as first
         order by counted.total desc, shown.at desc
         limit $3
     )
     select *
     from told
     union all
     select null, null, null, null, null, null, null, null, null
     from overflow
     where is_there',
    taskq.place_source(filter, 'dead'),
    taskq.filter_near(filter, 'dead'),
    taskq.filter_far(filter, 'dead')
);

-- Returns the statement that reads a tenth of $2 of the newest dead tasks, and tells of $3 causes of those that match a filter $1.
create function taskq.read_causes(filter jsonb) returns text
language sql
immutable
return format(
    'with seen as materialized (
         select *
         from (%1$s) as found
         where %2$s
         order by found.at desc, found.task_id desc
         limit greatest($2 / 10, 1)
     ),
     placed as (
         select
             found.*,
             count(*) over (partition by found.cause) as total,
             min(found.at) over (partition by found.cause) as first_at,
             row_number() over (partition by found.cause order by found.at desc, found.task_id desc) as position
         from seen as found
         where %3$s
     ),
     told as (
         select
             cause,
             task_type,
             state,
             total,
             first_at,
             at as last_at,
             task_id as last_task_id,
             errors -> -1 ->> ''error'' as error,
             null::bigint as counted_to
         from placed
         where position = 1
         order by total desc, at desc
         limit $3
     ),
     looked as (
         select count(*) as total
         from seen
     )
     select *
     from told
     union all
     select null, null, null, total, null, null, null, null, null
     from looked
     where total >= greatest($2 / 10, 1)',
    taskq.place_source(filter, 'dead'),
    taskq.filter_near(filter, 'dead'),
    taskq.filter_far(filter, 'dead')
);

-- Tells of what dead tasks that match have died: how many, since when, the last of them, and its error. Reads no more than
-- `looks` dead tasks, or entries of the index by causes. Where the filter is about causes, types, states and times alone, it
-- counts no more than `counted_to` of each cause; a number that equals it means "or more". Where the filter says more, it reads
-- a tenth as many of the newest tasks. A last row without a cause says that it stopped: there are more than 1,000 causes, or
-- there may be more tasks than the `total` that it has read.
create function taskq.causes(
    filter jsonb default '{}',
    most integer default 50,
    looks integer default 100000
) returns table (
    cause text,
    task_type text,
    state text,
    total bigint,
    first_at timestamptz,
    last_at timestamptz,
    last_task_id bigint,
    error text,
    counted_to bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off
set enable_seqscan = off
set jit = off
as $causes$
begin
    perform taskq.check_filter(causes.filter);
    if not coalesce('dead' = any (taskq.filter_places(causes.filter)), false) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'only dead tasks have causes: leave the state out, or say one of dead, discarded, cancelled, invalid, quarantined, expired';
    end if;
    return query execute format(
        'select * from (%s) as told order by told.cause is null, told.total desc, told.last_at desc, told.cause',
        case
            when causes.filter ?| array['queue', 'queue_like', 'payload', 'error', 'id'] then taskq.read_causes(causes.filter)
            else taskq.counted_causes(causes.filter)
        end
    )
    using causes.filter, causes.looks, causes.most;
end
$causes$;

-- All that match: an operator's word about many tasks. Its members are frozen first, so that it is about those that were
-- counted, and no others. Then they are taken in parts, each in a transaction of its own. What is no longer where it was is
-- skipped, and what Postgres refuses has failed: done + skipped + failed are in the end as many as were frozen.

-- One row for each operation. Nothing deletes those that have begun.
create table taskq.bulk (
    bulk_id    bigint      not null generated always as identity,
    -- retry, discard, cancel or reschedule
    verb       text        not null,
    -- With the states at which the verb is aimed.
    filter     jsonb       not null,
    -- As it was typed.
    said       text,
    -- When tasks are due that are retried or rescheduled; null: now.
    run_at     timestamptz,
    reason     text,
    by         text        not null,
    frozen_at  timestamptz not null default now(),
    -- Null: nobody has said yet that it is to be done.
    began_at   timestamptz,
    -- Since when it rests, because somebody has stopped it.
    stopped_at timestamptz,
    ended_at   timestamptz,
    frozen     bigint      not null default 0,
    done       bigint      not null default 0,
    skipped    bigint      not null default 0,
    failed     bigint      not null default 0,
    constraint bulk_pkey primary key (bulk_id),
    constraint bulk_verb check (verb in ('retry', 'discard', 'cancel', 'reschedule')),
    constraint bulk_run_at check (verb <> 'reschedule' or run_at is not null)
);

-- Those of its members that are still to be taken.
create table taskq.bulk_part (
    bulk_id  bigint   not null,
    part_id  bigint   not null generated always as identity,
    task_ids bigint[] not null,
    -- How often others had locked what is left of it.
    tries    integer  not null default 0,
    constraint bulk_part_pkey primary key (bulk_id, part_id)
);

-- Which members have failed, and why: the first thousand.
create table taskq.bulk_failure (
    bulk_id bigint not null,
    task_id bigint not null,
    error   text   not null,
    constraint bulk_failure_pkey primary key (bulk_id, task_id)
);

-- What is done to many is one row: the operation has the rest.
alter table taskq.audit add column bulk_id bigint;

-- Returns the filter with the states at which a verb is aimed where it says none. Fails where the verb cannot be done there.
create function taskq.aim(verb text, filter jsonb) returns jsonb
language plpgsql
stable
as $aim$
declare
    able text[];
    aimed text[];
    wrong text;
begin
    perform taskq.check_filter(filter);
    case verb
        when 'cancel' then
            able := array['waiting', 'due', 'scheduled', 'running'];
            aimed := array['waiting', 'running'];
        when 'retry' then
            able := array['discarded', 'cancelled', 'invalid', 'quarantined', 'expired', 'waiting', 'due', 'scheduled'];
            aimed := array['discarded', 'invalid', 'quarantined', 'expired'];
        when 'discard' then
            aimed := array['discarded', 'cancelled', 'invalid', 'quarantined', 'expired'];
            able := aimed || 'completed'::text;
        when 'reschedule' then
            able := array['waiting', 'due', 'scheduled'];
            aimed := array['waiting'];
        else
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('nothing is called %L: all that match can be retried, discarded, cancelled or rescheduled', verb);
    end case;
    if not filter ? 'state' then
        return filter || jsonb_build_object('state', to_jsonb(aimed));
    end if;
    select state
    into wrong
    from unnest(taskq.filter_states(filter)) as state
    where state <> all (able)
    order by state
    limit 1;
    if wrong is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('there is nothing to %s where a task is %s: the states are %s', verb, wrong, array_to_string(able, ', '));
    end if;
    return filter;
end
$aim$;

-- Returns the statement that finds the members of an aimed filter $1.
create function taskq.members_source(filter jsonb) returns text
language sql
immutable
return (
    select string_agg(
        format(
            'select found.task_id from (%s) as found where %s and %s',
            taskq.place_source(filter, name),
            taskq.filter_near(filter, name),
            taskq.filter_far(filter, name)
        ),
        ' union '
    )
    from unnest(taskq.filter_places(filter)) as name
);

-- Counts what a verb would be done to, and changes nothing. Reads each place that the filter allows to its end.
create function taskq.count_matching(verb text, filter jsonb) returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $count_matching$
declare
    aimed constant jsonb := taskq.aim(verb, filter);
    source constant text := taskq.members_source(aimed);
    total bigint := 0;
begin
    if source is not null then
        execute format('select count(*) from (%s) as member', source) into total using aimed;
    end if;
    return total;
end
$count_matching$;

-- Freezes the members of an operation, and does nothing to them yet: taskq.begin_bulk has it begin, and
-- taskq.step_bulk takes a part after the other. Forgets those that were frozen more than a day ago and never begun.
create function taskq.freeze_bulk(
    verb text,
    filter jsonb,
    said text default null,
    run_at timestamptz default null,
    reason text default null,
    by text default session_user,
    size integer default 1000
) returns setof taskq.bulk
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $freeze_bulk$
#variable_conflict use_column
declare
    aimed constant jsonb := taskq.aim(freeze_bulk.verb, freeze_bulk.filter);
    source constant text := taskq.members_source(aimed);
    made taskq.bulk;
begin
    perform taskq.require_said(freeze_bulk.reason, freeze_bulk.by);
    if freeze_bulk.size not between 1 and 10000 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a part has 1 to 10000 tasks';
    end if;
    if freeze_bulk.verb = 'reschedule' and freeze_bulk.run_at is null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'say to when the tasks are rescheduled';
    end if;
    perform taskq.drop_bulk(bulk.bulk_id, 'frozen for a day')
    from taskq.bulk
    where bulk.began_at is null
      and bulk.frozen_at < now() - interval '1 day';
    insert into taskq.bulk (verb, filter, said, run_at, reason, by)
    values (freeze_bulk.verb, aimed, freeze_bulk.said, freeze_bulk.run_at, freeze_bulk.reason, coalesce(freeze_bulk.by, session_user))
    returning *
    into made;
    if source is not null then
        execute format(
            'insert into taskq.bulk_part (bulk_id, task_ids)
             select $2, array_agg(member.task_id order by member.task_id)
             from (
                 select found.task_id, (row_number() over (order by found.task_id) - 1) / $3 as part
                 from (%s) as found
             ) as member
             group by member.part
             order by member.part',
            source
        )
        using aimed, made.bulk_id, freeze_bulk.size;
    end if;
    return query
    update taskq.bulk
    set frozen = (
        select coalesce(sum(cardinality(bulk_part.task_ids)), 0)
        from taskq.bulk_part
        where bulk_part.bulk_id = made.bulk_id
    ),
    -- Not when the transaction began: what died since is a member.
    frozen_at = clock_timestamp()
    where bulk.bulk_id = made.bulk_id
    returning bulk.*;
end
$freeze_bulk$;

-- Has an operation begin that is frozen, or go on that was stopped, and returns it. Whoever begins it answers for it in the
-- audit; without `by` that is who froze it.
create function taskq.begin_bulk(bulk_id bigint, by text default null) returns setof taskq.bulk
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $begin_bulk$
#variable_conflict use_column
declare
    was taskq.bulk;
begin
    select bulk.*
    into was
    from taskq.bulk
    where bulk.bulk_id = begin_bulk.bulk_id
    for update;
    if not found then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('there is no operation %s', begin_bulk.bulk_id);
    end if;
    perform taskq.require_said(null, begin_bulk.by);
    if was.began_at is null or was.stopped_at is not null then
        insert into taskq.audit (by, verb, state, reason, bulk_id)
        values (
            coalesce(begin_bulk.by, (was).by),
            was.verb,
            case when was.stopped_at is not null then 'stopped' end,
            was.reason,
            was.bulk_id
        );
    end if;
    return query
    update taskq.bulk
    set began_at = coalesce(bulk.began_at, now()),
        stopped_at = null
    where bulk.bulk_id = begin_bulk.bulk_id
    returning bulk.*;
end
$begin_bulk$;

-- Has an operation rest after the parts that are being taken. taskq.begin_bulk has it go on.
create function taskq.stop_bulk(
    bulk_id bigint,
    reason text default null,
    by text default session_user
) returns setof taskq.bulk
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $stop_bulk$
#variable_conflict use_column
begin
    perform taskq.require_said(stop_bulk.reason, stop_bulk.by);
    insert into taskq.audit (by, verb, reason, bulk_id)
    select coalesce(stop_bulk.by, session_user), 'stop bulk', stop_bulk.reason, bulk.bulk_id
    from taskq.bulk
    where bulk.bulk_id = stop_bulk.bulk_id
      and bulk.ended_at is null
      and bulk.stopped_at is null;
    return query
    update taskq.bulk
    set stopped_at = case when bulk.ended_at is null then coalesce(bulk.stopped_at, now()) end
    where bulk.bulk_id = stop_bulk.bulk_id
    returning bulk.*;
end
$stop_bulk$;

-- Forgets an operation that has not begun. Returns whether there was one.
create function taskq.drop_bulk(
    bulk_id bigint,
    reason text default null,
    by text default session_user
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $drop_bulk$
#variable_conflict use_column
begin
    perform taskq.require_said(drop_bulk.reason, drop_bulk.by);
    delete from taskq.bulk
    where bulk.bulk_id = drop_bulk.bulk_id
      and bulk.began_at is null;
    if not found then
        return false;
    end if;
    insert into taskq.audit (by, verb, reason, bulk_id)
    values (coalesce(drop_bulk.by, session_user), 'drop bulk', drop_bulk.reason, drop_bulk.bulk_id);
    delete from taskq.bulk_part where bulk_part.bulk_id = drop_bulk.bulk_id;
    return true;
end
$drop_bulk$;

-- Does what an operation says to some of its members that are where it looks for them, and returns those. Leaves out what
-- others have locked.
create function taskq.do_bulk(bulk taskq.bulk, ids bigint[]) returns bigint[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $do_bulk$
#variable_conflict use_column
declare
    places constant text[] := taskq.filter_places((do_bulk.bulk).filter);
    states constant text[] := taskq.filter_states((do_bulk.bulk).filter);
    channel constant text := (
        select nspname || '.operator'
        from pg_namespace
        where oid = (select relnamespace from pg_class where oid = 'taskq.bulk'::regclass)
    );
    text_of constant text := concat_ws(': ', 'cancelled by ' || (do_bulk.bulk).by, (do_bulk.bulk).reason);
    due_at constant timestamptz := coalesce((do_bulk.bulk).run_at, now());
    running taskq.lease;
    expected bigint;
    done bigint[] := '{}';
    those bigint[];
begin
    if (do_bulk.bulk).verb = 'cancel' and 'waiting' = any (places) then
        with locked as materialized (
            select task.task_id
            from taskq.task
            where task.task_id = any (do_bulk.ids)
            order by task.task_id
            for update skip locked
        ),
        gone as (
            delete from taskq.task
            using locked
            where task.task_id = locked.task_id
            returning task.*
        ),
        arrived as (
            insert into taskq.dead (
                task_id,
                task_type,
                payload_version,
                payload,
                queue,
                priority,
                created_at,
                max_attempts,
                attempts,
                crashes,
                errors,
                metadata,
                state
            )
            select
                gone.task_id,
                gone.task_type,
                gone.payload_version,
                gone.payload,
                gone.queue,
                gone.priority,
                gone.created_at,
                gone.max_attempts,
                gone.attempts,
                gone.crashes,
                taskq.with_error(gone.errors, gone.attempts, text_of),
                gone.metadata,
                'cancelled'
            from gone
            order by gone.task_id
            returning dead.task_id
        )
        select (select count(*) from gone), coalesce(array_agg(arrived.task_id), '{}')
        into expected, those
        from arrived;
        perform taskq.require_arrival(expected, those);
        done := those;
    end if;
    if (do_bulk.bulk).verb = 'cancel' and 'running' = any (places) and cardinality(done) < cardinality(ids) then
        for running in
            select lease.*
            from taskq.lease
            where lease.lease_id in (
                select found.lease_id
                from taskq.lease as found
                cross join lateral unnest(found.task_ids) as held (task_id)
                where held.task_id in (select unnest(do_bulk.ids))
            )
            order by lease.lease_id
            for update skip locked
        loop
            with held as materialized (
                select found.*
                from taskq.left_in(running) as found
                where found.task_id = any (do_bulk.ids)
            ),
            arrived as (
                insert into taskq.dead (
                    task_id,
                    task_type,
                    payload_version,
                    payload,
                    queue,
                    priority,
                    created_at,
                    max_attempts,
                    attempts,
                    crashes,
                    errors,
                    metadata,
                    state
                )
                select
                    held.task_id,
                    held.task_type,
                    held.payload_version,
                    held.payload,
                    running.queue,
                    held.priority,
                    held.created_at,
                    held.max_attempts,
                    held.attempts,
                    held.crashes,
                    taskq.with_error(held.errors, held.attempts + 1, text_of),
                    held.metadata,
                    'cancelled'
                from held
                returning dead.task_id
            )
            select (select count(*) from held), coalesce(array_agg(arrived.task_id), '{}')
            into expected, those
            from arrived;
            perform taskq.require_arrival(expected, those);
            continue when expected = 0;
            -- The fence: no outcome of these tasks counts that is written later.
            if cardinality(running.done) + cardinality(those) >= cardinality(running.task_ids) then
                delete from taskq.lease where lease.lease_id = running.lease_id;
            else
                update taskq.lease
                set done = lease.done || those
                where lease.lease_id = running.lease_id;
            end if;
            perform pg_notify(channel, 'cancel ' || one) from unnest(those) as one;
            done := done || those;
        end loop;
    end if;
    if (do_bulk.bulk).verb in ('retry', 'reschedule') and 'waiting' = any (places) then
        with locked as materialized (
            select task.task_id
            from taskq.task
            where task.task_id = any (do_bulk.ids)
            order by task.task_id
            for update skip locked
        ),
        moved as (
            update taskq.task
            set run_at = due_at
            from locked
            where task.task_id = locked.task_id
            returning task.task_id, task.queue
        ),
        told as materialized (
            select pg_notify(channel, 'scan ' || moved.queue)
            from moved
            group by moved.queue
        )
        select coalesce(array_agg(moved.task_id), '{}')
        into those
        from moved
        where (select count(*) from told) >= 0;
        done := done || those;
    end if;
    if (do_bulk.bulk).verb in ('retry', 'discard') and 'dead' = any (places) then
        with locked as materialized (
            select dead.task_id
            from taskq.dead
            where dead.task_id = any (do_bulk.ids)
              and dead.state = any (states)
              -- One that has run again meanwhile may have died of something else.
              and dead.finished_at <= (do_bulk.bulk).frozen_at
            order by dead.task_id
            for update skip locked
        ),
        gone as (
            delete from taskq.dead
            using locked
            where dead.task_id = locked.task_id
            returning dead.*
        ),
        arrived as (
            insert into taskq.task (
                task_id,
                task_type,
                payload_version,
                payload,
                queue,
                priority,
                run_at,
                created_at,
                max_attempts,
                errors,
                metadata
            )
            overriding system value
            select
                gone.task_id,
                gone.task_type,
                gone.payload_version,
                gone.payload,
                gone.queue,
                gone.priority,
                due_at,
                gone.created_at,
                gone.max_attempts,
                gone.errors,
                nullif(gone.metadata - 'task.expires', '{}')
            from gone
            where (do_bulk.bulk).verb = 'retry'
            order by gone.task_id
            returning task.task_id
        ),
        counted as materialized (
            select count(*) as arrived
            from arrived
        )
        select case (do_bulk.bulk).verb when 'retry' then max(counted.arrived) else count(gone.task_id) end,
            coalesce(array_agg(gone.task_id) filter (where gone.task_id is not null), '{}')
        into expected, those
        from counted
        left join gone on true;
        perform taskq.require_arrival(expected, those);
        done := done || those;
    end if;
    return done;
end
$do_bulk$;

-- Fails if a trigger of a user's has kept tasks from where they go.
create function taskq.require_arrival(expected bigint, arrived bigint[]) returns void
language plpgsql
immutable
as $require_arrival$
begin
    if expected <> cardinality(arrived) then
        raise exception 'a trigger has kept a task from where it goes';
    end if;
end
$require_arrival$;

-- Returns those of some members that are where an operation looks for them.
create function taskq.left_of_bulk(bulk taskq.bulk, ids bigint[]) returns bigint[]
language sql
stable
as $left_of_bulk$
select array_agg(one order by one)
from (
    select task.task_id as one
    from taskq.task
    where task.task_id = any (ids)
      and 'waiting' = any (taskq.filter_places((left_of_bulk.bulk).filter))
    union
    select held.task_id
    from taskq.lease
    cross join lateral unnest(lease.task_ids) as held (task_id)
    where held.task_id in (select unnest(ids))
      and held.task_id <> all (lease.done)
      and 'running' = any (taskq.filter_places((left_of_bulk.bulk).filter))
    union
    select dead.task_id
    from taskq.dead
    where dead.task_id = any (ids)
      and dead.state = any (taskq.filter_states((left_of_bulk.bulk).filter))
      and dead.finished_at <= (left_of_bulk.bulk).frozen_at
) as there
$left_of_bulk$;

-- Deletes some members of an operation that completed, if it is about such, and returns those. Leaves out what others have
-- locked.
create function taskq.discard_completed(bulk taskq.bulk, ids bigint[]) returns bigint[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $discard_completed$
declare
    those bigint[];
begin
    if (discard_completed.bulk).verb <> 'discard'
        or not 'completed' = any (taskq.filter_places((discard_completed.bulk).filter))
    then
        return '{}';
    end if;
    with locked as materialized (
        select history.task_id, history.finished_at
        from taskq.history
        where history.task_id = any (discard_completed.ids)
          -- An id may have come again.
          and history.finished_at <= (discard_completed.bulk).frozen_at
        order by history.task_id
        for update skip locked
    ),
    gone as (
        delete from taskq.history
        using locked
        where history.task_id = locked.task_id
          and history.finished_at = locked.finished_at
        returning history.task_id
    )
    select coalesce(array_agg(gone.task_id), '{}')
    into those
    from gone;
    return those;
end
$discard_completed$;

-- Takes one part of an operation that has begun, and returns how far the operation has come. Several may do that at once.
-- Where Postgres refuses a part it is divided into ten, until the task that is refused is alone: that one has failed. What
-- others have locked is tried again with a later call, a hundred times.
create function taskq.step_bulk(bulk_id bigint) returns setof taskq.bulk
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $step_bulk$
#variable_conflict use_column
declare
    doing taskq.bulk;
    part taskq.bulk_part;
    taken bigint[] := '{}';
    rest bigint[];
    lost bigint[] := '{}';
    why text;
    divided boolean := false;
begin
    select bulk.*
    into doing
    from taskq.bulk
    where bulk.bulk_id = step_bulk.bulk_id;
    if not found or doing.began_at is null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('there is no operation %s that has begun', step_bulk.bulk_id);
    end if;
    if doing.stopped_at is not null or doing.ended_at is not null then
        return next doing;
        return;
    end if;
    select bulk_part.*
    into part
    from taskq.bulk_part
    where bulk_part.bulk_id = step_bulk.bulk_id
    order by bulk_part.tries, bulk_part.part_id
    limit 1
    for update skip locked;
    if not found then
        return query
        update taskq.bulk
        set ended_at = now()
        where bulk.bulk_id = step_bulk.bulk_id
          and bulk.ended_at is null
          and not exists (select from taskq.bulk_part where bulk_part.bulk_id = step_bulk.bulk_id)
        returning bulk.*;
        if not found then
            return query select bulk.* from taskq.bulk where bulk.bulk_id = step_bulk.bulk_id;
        end if;
        return;
    end if;
    begin
        taken := array(select distinct unnest(taskq.do_bulk(doing, part.task_ids) || taskq.discard_completed(doing, part.task_ids)));
    exception
        when others then
            -- The server's trouble, and not the row's.
            if sqlstate like any (array['40%', '53%', '55P03', '57%', '58%', 'XX%']) then
                raise;
            end if;
            why := sqlerrm;
    end;
    if why is not null and cardinality(part.task_ids) > 1 then
        divided := true;
        insert into taskq.bulk_part (bulk_id, task_ids, tries)
        select part.bulk_id, array_agg(piece.task_id order by piece.position), part.tries
        from unnest(part.task_ids) with ordinality as piece (task_id, position)
        group by (piece.position - 1) * 10 / cardinality(part.task_ids);
    elsif why is not null then
        lost := part.task_ids;
    else
        rest := taskq.left_of_bulk(
            doing,
            array(select unnest(part.task_ids) except select unnest(taken))
        );
        if rest is not null and part.tries >= 99 then
            why := 'another transaction has locked it all the time';
            lost := rest;
            rest := null;
        end if;
    end if;
    if rest is not null then
        update taskq.bulk_part
        set task_ids = rest,
            tries = part.tries + 1
        where bulk_part.bulk_id = part.bulk_id
          and bulk_part.part_id = part.part_id;
    else
        delete from taskq.bulk_part
        where bulk_part.bulk_id = part.bulk_id
          and bulk_part.part_id = part.part_id;
    end if;
    insert into taskq.bulk_failure (bulk_id, task_id, error)
    select part.bulk_id, one, left(why, 4000)
    from unnest(lost) as one
    where doing.failed < 1000;
    return query
    update taskq.bulk
    set done = bulk.done + cardinality(taken),
        failed = bulk.failed + cardinality(lost),
        skipped = bulk.skipped + case
            when divided then 0
            else cardinality(part.task_ids) - cardinality(taken) - cardinality(lost) - coalesce(cardinality(rest), 0)
        end
    where bulk.bulk_id = part.bulk_id
    returning bulk.*;
end
$step_bulk$;

-- Gives a dead task another payload, and has it run again as taskq.retry does. Returns in which state it was.
-- `payload_version` is that of the new payload; null: as it was. The old payload is gone,
-- but for secret fields of which the new one says ***.
create function taskq.edit(
    task_id bigint,
    payload jsonb,
    payload_version smallint default null,
    at timestamptz default now(),
    reason text default null,
    by text default session_user
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $edit$
#variable_conflict use_column
declare
    edited taskq.dead;
begin
    perform taskq.require_said(edit.reason, edit.by);
    if edit.payload is null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'say what the payload is to be';
    end if;
    update taskq.dead
    set payload = taskq.unmasked(
            edit.payload,
            dead.payload,
            taskq.secret_fields(dead.task_type, dead.metadata)
        ),
        payload_version = coalesce(edit.payload_version, dead.payload_version)
    where dead.task_id = edit.task_id
    returning dead.*
    into edited;
    if not found then
        perform taskq.refuse_verb(
            'edit',
            edit.task_id,
            taskq.state_of(edit.task_id),
            ': only a dead task is edited, so cancel one that waits or runs first'
        );
    end if;
    insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
    values (
        coalesce(edit.by, session_user),
        'edit',
        edit.task_id,
        edited.task_type,
        edited.queue,
        edited.state,
        edit.reason
    );
    return taskq.retry(edit.task_id, edit.at, edit.reason, edit.by);
end
$edit$;

-- Enqueues a task as taskq.enqueue does, for an operator, and records it.
create function taskq.enqueue_by_hand(
    task_type text,
    payload jsonb default '{}',
    options jsonb default '{}',
    reason text default null,
    by text default session_user
) returns table (task_id bigint, outcome text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $enqueue_by_hand$
#variable_conflict use_column
begin
    perform taskq.require_said(enqueue_by_hand.reason, enqueue_by_hand.by);
    select made.task_id, made.outcome
    into enqueue_by_hand.task_id, enqueue_by_hand.outcome
    from taskq.enqueue(enqueue_by_hand.task_type, enqueue_by_hand.payload, enqueue_by_hand.options) as made;
    insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
    values (
        coalesce(enqueue_by_hand.by, session_user),
        'enqueue',
        enqueue_by_hand.task_id,
        enqueue_by_hand.task_type,
        coalesce(enqueue_by_hand.options ->> 'queue', 'default'),
        enqueue_by_hand.outcome,
        enqueue_by_hand.reason
    );
    return next;
end
$enqueue_by_hand$;

revoke execute on function taskq.edit from public;
revoke execute on function taskq.enqueue_by_hand from public;
revoke execute on function taskq.freeze_bulk from public;
revoke execute on function taskq.begin_bulk from public;
revoke execute on function taskq.step_bulk from public;
revoke execute on function taskq.stop_bulk from public;
revoke execute on function taskq.drop_bulk from public;
revoke execute on function taskq.do_bulk from public;
revoke execute on function taskq.discard_completed from public;

insert into taskq.migration (version, name, oldest_binary)
values (15, 'find', 2);

-- Finds tasks by a filter, and lists them.

-- Lists have refused tasks in this order.
create index refused_at on taskq.refused (refused_at, task_id);

-- The filter: an object of
--   state      waiting, due, scheduled, running, completed, refused; discarded, cancelled, invalid, quarantined, expired, or
--              all five: dead; all but cancelled: died
--   queue, type            names;      queue_like, type_like      patterns of `like`
--   payload    [{"path": ["usr_id"], "values": ["42"]}, ...]: a field, as text
--   error      parts of the last error, in any case
--   older, newer           so many seconds
--   cause, id, group
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
                'a filter has no %L: it has state, queue, queue_like, type, type_like, payload, error, older, newer, cause, id, group',
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
            ('group', 'array'),
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
            'there is no state %L: they are waiting, due, scheduled, running, completed, refused, dead, died, discarded, cancelled, invalid, quarantined, expired',
            said
        )
        into problem
        from jsonb_array_elements_text(filter -> 'state') as said
        where said not in (
            'waiting', 'due', 'scheduled', 'running', 'completed', 'refused', 'dead', 'died', 'discarded', 'cancelled',
            'invalid', 'quarantined', 'expired'
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
    if problem is null
        and exists (select from jsonb_array_elements_text(filter -> 'group') as said where said !~ '^[0-9]{1,18}$')
    then
        problem := 'a group is a whole number, its id';
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
                -- Nobody mourns what was cancelled.
                when 'died' then array['discarded', 'invalid', 'quarantined', 'expired']
                else array[said.state]
            end
        ) as one (state)
    )
end;

-- Returns a filter that is of the tasks that died where it says no state.
create function taskq.of_died(filter jsonb) returns jsonb
language sql
immutable
return case
    when filter ? 'state' then filter
    else filter || '{"state": ["died"]}'
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
        select case
            when filter ? 'group' then concat(
                'array(
                     select group_member.task_id
                     from taskq.group_member
                     where group_member.group_id = any (
                         array(select said::bigint from jsonb_array_elements_text($1 -> ''group'') as said)
                     )',
                case when filter ? 'id' then '
                       and group_member.task_id = any (
                           array(select said::bigint from jsonb_array_elements_text($1 -> ''id'') as said)
                       )'
                end,
                ')'
            )
            when filter ? 'id' then 'array(select said::bigint from jsonb_array_elements_text($1 -> ''id'') as said)'
        end as ids
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
            -- What matches fills the page soon. Where there is no error, it is not known whether it matches.
            if seen.number >= list.looks or seen.matches is not true and clock_timestamp() - began > list.patience then
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

insert into taskq.migration (version, name, oldest_binary)
values (20, 'find', 2);

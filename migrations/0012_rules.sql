-- Says what limits hold: those that programs declare, and those that operators put in their place.

-- Has the definitions of task types hold that are to hold now: of each type the latest that a living worker declares, or else
-- the latest.
create function taskq.choose_limits(names text[]) returns void
language plpgsql
as $choose_limits$
declare
    chosen jsonb := (
        select coalesce(jsonb_agg(given.item || jsonb_build_object('name', definition.task_type)), '[]')
        from (
            select distinct on (held.task_type) held.task_type, held.limits
            from taskq.limit_definition as held
            where held.task_type = any (names)
            order by held.task_type, held.declared_until > now() desc, held.definition_id desc
        ) as definition
        cross join jsonb_array_elements(definition.limits) as given (item)
    );
begin
    update taskq.limit_rule
    set declared_most = null, declared_seconds = null, declared_burst = null, declared_at = null
    where scope <> 'queue'
      and name = any (names)
      and declared_most is not null
      and is_overridden
      and not chosen @> jsonb_build_array(jsonb_build_object('scope', scope, 'name', name, 'kind', kind));
    delete from taskq.limit_rule
    where scope <> 'queue'
      and name = any (names)
      and not is_overridden
      and not chosen @> jsonb_build_array(jsonb_build_object('scope', scope, 'name', name, 'kind', kind));
    insert into taskq.limit_rule as held (
        scope,
        name,
        kind,
        fields,
        aliases,
        declared_most,
        declared_seconds,
        declared_burst,
        declared_at,
        on_dead
    )
    select
        given.scope,
        given.name,
        given.kind,
        given.fields,
        given.aliases,
        given.most,
        given.seconds,
        given.burst,
        now(),
        given.on_dead
    from jsonb_to_recordset(chosen) as given (
        scope text,
        name text,
        kind text,
        fields text[],
        aliases text[],
        most integer,
        seconds double precision,
        burst integer,
        on_dead text
    )
    order by given.scope, given.name, given.kind
    on conflict on constraint limit_rule_pkey do update
    set fields = excluded.fields,
        aliases = excluded.aliases,
        declared_most = excluded.declared_most,
        declared_seconds = excluded.declared_seconds,
        declared_burst = excluded.declared_burst,
        declared_at = excluded.declared_at,
        on_dead = excluded.on_dead
    where (held.fields, held.aliases, held.declared_most, held.declared_seconds, held.declared_burst, held.on_dead)
        is distinct from
        (
            excluded.fields,
            excluded.aliases,
            excluded.declared_most,
            excluded.declared_seconds,
            excluded.declared_burst,
            excluded.on_dead
        );
end
$choose_limits$;

-- Says that a living worker declares the limits of these task types, for so many seconds: of each an array of objects.
create function taskq.declare_limits(names text[], declared jsonb[], seconds double precision) returns void
language plpgsql
as $declare_limits$
begin
    -- One worker after the other: they start together.
    perform pg_advisory_xact_lock(hashtextextended('taskq limits taskq', 0));
    insert into taskq.limit_definition as held (task_type, limits, declared_until)
    select given.task_type, given.limits, now() + make_interval(secs => seconds)
    from unnest(names, declared) as given (task_type, limits)
    order by given.task_type
    on conflict (task_type, md5(limits::text)) do update
    set declared_until = greatest(held.declared_until, excluded.declared_until);
    perform taskq.choose_limits(names);
end
$declare_limits$;

-- Forgets what no living worker has declared for so many seconds, and returns of which task types that was.
create function taskq.end_undeclared_limits(seconds double precision) returns setof text
language plpgsql
as $end_undeclared_limits$
declare
    names text[];
begin
    if not exists (
        select
        from taskq.limit_definition
        where declared_until < now() - make_interval(secs => seconds)
    ) then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtextextended('taskq limits taskq', 0));
    with ended as (
        delete from taskq.limit_definition
        where declared_until < now() - make_interval(secs => seconds)
        returning task_type
    )
    select array_agg(distinct ended.task_type)
    into names
    from ended;
    perform taskq.choose_limits(names);
    return query
    select given.name
    from unnest(names) as given (name)
    where not exists (
        select
        from taskq.limit_definition as held
        where held.task_type = given.name
    );
end
$end_undeclared_limits$;

-- Puts a limit in the place of what is declared of a queue, a task type, or each key of a task type, and returns the limit
-- that held before, if one did. Without `most` nothing is limited.
create function taskq.put_limit(
    scope text,
    name text,
    kind text,
    most integer,
    seconds double precision,
    burst integer,
    reason text,
    until timestamptz,
    by text
) returns setof taskq.limits
language plpgsql
rows 1
as $put$
declare
    former taskq.limits;
    problem text := case
        when coalesce(octet_length(put_limit.name), 0) not between 1 and 200
            then format('the name of a %s has 1 to 200 bytes', replace(put_limit.scope, '_', ' '))
        when put_limit.kind not in ('concurrency', 'rate')
            then 'an operator says a concurrency or a rate: only a program says that tasks run in sequence'
        when put_limit.kind = 'concurrency' and put_limit.scope = 'key' and put_limit.most > 1 and exists (
            select
            from taskq.limit_rule
            where limit_rule.scope = 'key'
              and limit_rule.name = put_limit.name
              and limit_rule.kind = 'sequence'
        )
            then format(
                'tasks of type "%s" run in sequence, one of a key at a time: give 0 or 1, or limit the whole type',
                put_limit.name
            )
        when put_limit.kind = 'concurrency' and put_limit.most < 0
            then 'a concurrency is 0, with which nothing starts, or more'
        when put_limit.kind = 'rate' and put_limit.most < 1
            then 'a rate is at least one start in its time: for nothing to start, give a concurrency of 0, or pause'
        when put_limit.kind = 'rate' and put_limit.most is not null and coalesce(put_limit.seconds, 0) <= 0
            then 'the time of a rate must be longer than nothing'
        when put_limit.burst < 1 then 'the burst of a rate must be at least 1'
        when octet_length(put_limit.reason) > 10000 then 'the reason of a limit has at most 10000 bytes'
        when octet_length(put_limit.by) not between 1 and 200 then 'the name of who sets a limit has 1 to 200 bytes'
        when put_limit.until <= now()
            then format('a limit until %s would be over already: give a time to come, or none', put_limit.until)
        when put_limit.scope = 'key' and not exists (
            select
            from taskq.limit_rule
            where limit_rule.scope = 'key'
              and limit_rule.name = put_limit.name
        )
            then format(
                'the task type "%s" declares no limit by key, so its tasks have none: its program says of which fields a key is made',
                put_limit.name
            )
    end;
begin
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    -- What programs declare waits, and so does another operator.
    perform pg_advisory_xact_lock(hashtextextended('taskq limits taskq', 0));
    select limits.*
    into former
    from taskq.limits
    where limits.scope = put_limit.scope
      and limits.name = put_limit.name
      and limits.kind = put_limit.kind;
    insert into taskq.limit_rule as held (
        scope,
        name,
        kind,
        fields,
        aliases,
        is_overridden,
        most,
        seconds,
        burst,
        overridden_at,
        by,
        reason,
        until
    )
    select
        put_limit.scope,
        put_limit.name,
        put_limit.kind,
        other.fields,
        coalesce(other.aliases, '{}'),
        true,
        put_limit.most,
        put_limit.seconds,
        -- As many as fit into a second.
        coalesce(put_limit.burst, least(greatest(floor(put_limit.most / put_limit.seconds), 1), put_limit.most)),
        now(),
        coalesce(put_limit.by, session_user),
        put_limit.reason,
        put_limit.until
    from (values (1)) as always
    left join (
        select limit_rule.fields, limit_rule.aliases
        from taskq.limit_rule
        where limit_rule.scope = put_limit.scope
          and limit_rule.name = put_limit.name
        limit 1
    ) as other on true
    on conflict on constraint limit_rule_pkey do update
    set is_overridden = true,
        most = excluded.most,
        seconds = excluded.seconds,
        burst = excluded.burst,
        overridden_at = excluded.overridden_at,
        by = excluded.by,
        reason = excluded.reason,
        until = excluded.until;
    perform taskq.write_down(
        'limit',
        put_limit.scope,
        put_limit.name,
        case
            when put_limit.most is null then put_limit.kind || ' lifted'
            when put_limit.kind = 'rate' then format('rate %s in %s s', put_limit.most, put_limit.seconds)
            else format('%s %s', put_limit.kind, put_limit.most)
        end,
        put_limit.reason,
        put_limit.by
    );
    if former.scope is not null then
        return next former;
    end if;
end
$put$;

-- Has what is declared hold again, and returns what was said in its place.
create function taskq.end_limit(
    scope text,
    name text,
    kind text,
    reason text default null,
    by text default session_user
) returns setof taskq.limits
language plpgsql
rows 2
as $end$
begin
    perform pg_advisory_xact_lock(hashtextextended('taskq limits taskq', 0));
    perform taskq.write_down('reset limits', limits.scope, limits.name, limits.kind, end_limit.reason, end_limit.by)
    from taskq.limits
    where limits.scope = end_limit.scope
      and limits.name = end_limit.name
      and limits.kind = coalesce(end_limit.kind, limits.kind)
      and limits.is_overridden;
    return query
    select limits.*
    from taskq.limits
    where limits.scope = end_limit.scope
      and limits.name = end_limit.name
      and limits.kind = coalesce(end_limit.kind, limits.kind)
      and limits.is_overridden;
    delete from taskq.limit_rule
    where limit_rule.scope = end_limit.scope
      and limit_rule.name = end_limit.name
      and limit_rule.kind = coalesce(end_limit.kind, limit_rule.kind)
      and limit_rule.declared_most is null;
    update taskq.limit_rule
    set is_overridden = false,
        most = null,
        seconds = null,
        burst = null,
        overridden_at = null,
        by = null,
        reason = null,
        until = null
    where limit_rule.scope = end_limit.scope
      and limit_rule.name = end_limit.name
      and limit_rule.kind = coalesce(end_limit.kind, limit_rule.kind)
      and limit_rule.is_overridden;
end
$end$;

-- For people: `scope` is 'queue', 'task_type', or 'key' for each key of a task type.
create function taskq.limit_concurrency(
    scope text,
    name text,
    most integer,
    reason text default null,
    until timestamptz default null,
    by text default session_user
) returns setof taskq.limits
language sql
rows 1
as $limit$
select * from taskq.put_limit(scope, name, 'concurrency', most, null, null, reason, until, by)
$limit$;

create function taskq.limit_rate(
    scope text,
    name text,
    most integer,
    per interval,
    burst integer default null,
    reason text default null,
    until timestamptz default null,
    by text default session_user
) returns setof taskq.limits
language sql
rows 1
as $limit$
select *
from taskq.put_limit(scope, name, 'rate', most, extract(epoch from per)::double precision, burst, reason, until, by)
$limit$;

create function taskq.reset_limits(
    scope text,
    name text,
    reason text default null,
    by text default session_user
) returns setof taskq.limits
language sql
rows 2
as $reset$
select * from taskq.end_limit(scope, name, null, reason, by)
$reset$;

insert into taskq.migration (version, name, oldest_binary)
values (12, 'rules', 2);

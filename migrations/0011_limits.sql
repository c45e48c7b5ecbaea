-- Bounds how many tasks run at once, and how fast they start: of a queue, of a task type, of each key of a type.

-- What the program of a task type declares. One of another version may declare something else: the later one, by its id,
-- holds while a living worker declares it.
create table taskq.limit_definition (
    definition_id  bigint      not null generated always as identity,
    task_type      text        not null,
    -- An array of what stands in taskq.limit_rule.
    limits         jsonb       not null,
    -- Until when it counts as declared, by which workers say that they are alive.
    declared_until timestamptz not null,
    constraint limit_definition_pkey primary key (definition_id),
    constraint limit_definition_limits check (jsonb_typeof(limits) = 'array')
);

create unique index limit_definition_declared on taskq.limit_definition (task_type, md5(limits::text));

-- What bounds the tasks of a scope. The program of a task type declares it; an operator overrides it.
create table taskq.limit_rule (
    -- What the name is of: 'queue', 'task_type', or 'key' for each key of that task type by itself.
    scope             text        not null,
    name              text        not null,
    -- 'concurrency': how many run at once. 'rate': how many start in a time. 'sequence': one after the other, the oldest first.
    kind              text        not null,
    -- The fields of the payload that make the key of a task, and other names of the type.
    fields            text[],
    aliases           text[]      not null default '{}',
    -- What the program says; null where it says nothing.
    declared_most     integer,
    declared_seconds  double precision,
    declared_burst    integer,
    declared_at       timestamptz,
    -- Of a sequence: whether a dead task closes its key, 'block', or the next one starts, 'skip'.
    on_dead           text,
    -- What an operator says in its place; without `most` there is no limit.
    is_overridden     boolean     not null default false,
    most              integer,
    seconds           double precision,
    burst             integer,
    overridden_at     timestamptz,
    by                text,
    reason            text,
    -- When what the program declares holds again by itself.
    until             timestamptz,
    -- Since when the scope is limited, without a gap.
    since             timestamptz not null default now(),
    -- Whether nothing of it runs any more that was claimed before workers knew of the limit.
    is_settled        boolean     not null default false,
    -- Tasks behind the first id, and up to the second, may lack the key that these fields make; null where none does.
    keyless_after     bigint,
    keyless_to        bigint,
    constraint limit_rule_pkey primary key (scope, name, kind),
    constraint limit_rule_scope check (scope in ('queue', 'task_type', 'key')),
    constraint limit_rule_kind check (kind in ('concurrency', 'rate', 'sequence')),
    constraint limit_rule_sequence check ((kind = 'sequence') = (on_dead is not null) and (kind <> 'sequence' or scope = 'key')),
    constraint limit_rule_on_dead check (on_dead in ('block', 'skip')),
    constraint limit_rule_name_length check (octet_length(name) between 1 and 200),
    constraint limit_rule_fields check (scope <> 'key' or cardinality(fields) > 0),
    constraint limit_rule_most check (least(most, declared_most) >= case kind when 'concurrency' then 0 else 1 end),
    constraint limit_rule_said check (declared_most is not null or is_overridden),
    constraint limit_rule_by_length check (octet_length(by) between 1 and 200),
    constraint limit_rule_reason_length check (octet_length(reason) <= 10000)
);

-- Every worker reads it, whatever its role is.
grant select on taskq.limit_rule to public;

-- The limits: declared, overridden, and in force. Without `most` nothing is limited.
create view taskq.limits as
select
    scope,
    name,
    kind,
    in_force.most,
    in_force.seconds,
    in_force.burst,
    fields,
    declared_most,
    declared_seconds,
    declared_burst,
    declared_at,
    is_in_place as is_overridden,
    case when is_in_place then overridden_at end as overridden_at,
    case when is_in_place then by end as by,
    case when is_in_place then reason end as reason,
    case when is_in_place then until end as until,
    since,
    aliases,
    is_settled,
    keyless_to is not null as has_keyless,
    on_dead
from taskq.limit_rule
cross join lateral (
    select is_overridden and (until is null or until > now()) as is_in_place
) as override
cross join lateral (
    select
        case when is_in_place then limit_rule.most else declared_most end as most,
        case when is_in_place then limit_rule.seconds else declared_seconds end as seconds,
        case when is_in_place then limit_rule.burst else declared_burst end as burst
) as in_force;

grant select on taskq.limits to public;

-- Has workers read the limits. A message is lost if nobody listens; then they read them before a scan.
create function taskq.tell_limits() returns trigger
language plpgsql
as $tell$
begin
    perform pg_catalog.pg_notify(tg_table_schema || '.operator', 'limits');
    return null;
end
$tell$;

create trigger tell_limits
after insert or delete or truncate or update of declared_most, declared_seconds, declared_burst, on_dead,
    is_overridden, most, seconds, burst, until
on taskq.limit_rule
for each statement execute function taskq.tell_limits();

-- A binary that knows no limits would claim beyond them: from the first limit on, none starts.
create function taskq.require_limits() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $require$
begin
    update taskq.migration
    set oldest_binary = 11
    where version = 11
      and oldest_binary < 11;
    return null;
end
$require$;

create trigger require_limits
after insert on taskq.limit_rule
for each statement execute function taskq.require_limits();

-- What is known of a scope besides what runs: from when on it may start something by its rate, and until when it is held.
-- A row for each scope that needs one.
create table taskq.gate (
    scope      text        not null,
    name       text        not null,
    -- Empty, unless the scope is 'key'.
    key        text        not null collate "C",
    next_start timestamptz not null default '-infinity',
    held_until timestamptz not null default '-infinity',
    constraint gate_pkey primary key (scope, name, key)
) with (fillfactor = 50);

-- The key of a task whose type is limited by key; see taskq.index_keys.
alter table taskq.task add column key text collate "C";

-- Whether the task has its place in a sequence of its key; null for others. See taskq.index_keys.
alter table taskq.task add column in_sequence boolean;

-- Whose limits bind the tasks of a lease, where limits do: the task type and, where it has any, the key. So what runs of
-- a scope is what its leases list, and nothing else counts.
alter table taskq.lease
    add column limited_type text,
    add column limited_key text collate "C";

create index lease_limited_type on taskq.lease (limited_type, limited_key) where limited_type is not null;
-- With a condition that follows from no type: otherwise Postgres may take it for the leases of a key, and read those of all
-- keys.
create index lease_limited_queue on taskq.lease (queue) where limited_type <> '';

-- Returns the key of a task by fields of its payload. Fields that are absent, or null, make a key as others do. Whoever
-- enqueues calls it, so every name is qualified.
create function taskq.limit_key(payload jsonb, fields text[]) returns text
language plpgsql
immutable
parallel safe
as $limit_key$
declare
    field text;
    key jsonb := '{}';
    said text;
begin
    if pg_catalog.jsonb_typeof(payload) operator(pg_catalog.=) 'object' then
        foreach field in array fields loop
            if payload operator(pg_catalog.?) field then
                key := key operator(pg_catalog.||)
                    pg_catalog.jsonb_build_object(field, payload operator(pg_catalog.->) field);
            end if;
        end loop;
    end if;
    said := key::text;
    -- 1.0 is 1. Few have a number with a point.
    if pg_catalog.strpos(said, '.') operator(pg_catalog.>) 0
        and said operator(pg_catalog.~) '\.[0-9]*0[^0-9]'
    then
        said := taskq.spell_numbers(key)::text;
    end if;
    -- An index cannot hold more than some kilobytes.
    if pg_catalog.octet_length(said) operator(pg_catalog.>) 1000 then
        said := pg_catalog.concat(
            'sha256 ',
            pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(said, 'UTF8')), 'hex')
        );
    end if;
    return said;
end
$limit_key$;

-- Gives a task its key. The arguments of the trigger are the fields.
create function taskq.give_key() returns trigger
language plpgsql
as $give_key$
begin
    new.key := taskq.limit_key(new.payload, tg_argv);
    return new;
end
$give_key$;

-- Has tasks of a type have keys from now on, and an index by keys: with the first limit by key there is an index, and with
-- the first of each type a trigger. Before, taskq.task has neither, and enqueues cost what they cost without limits.
-- Writes to taskq.task wait while the index is built, which reads the table once; an index of this name that somebody has
-- built before, concurrently, is taken as it is. Whoever waits for this lock keeps those who come later, so it gives up
-- soon: only a little later than a vacuum would let it pass.
create function taskq.index_keys() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1500ms'
as $index_keys$
declare
    names text[] := new.name || new.aliases;
    -- Behind triggers of the application in the order of names: they may change the payload.
    own_name text := 'zz_key_' || md5(new.name);
    is_sequence boolean := exists (
        select
        from taskq.limit_rule
        where scope = 'key'
          and name = new.name
          and kind = 'sequence'
    );
    said text := format('The %s of %s by %s', case when is_sequence then 'sequences' else 'keys' end, names, new.fields);
    last bigint;
begin
    if exists (
        select
        from pg_trigger
        where tgrelid = 'taskq.task'::regclass
          and tgname = own_name
          and obj_description(oid, 'pg_trigger') = said
    ) then
        return null;
    end if;
    begin
        lock table taskq.task in share row exclusive mode;
        if is_sequence then
            lock table taskq.dead in share row exclusive mode;
        end if;
    exception
        when lock_not_available then
            raise exception using
                errcode = 'lock_not_available',
                message = format('tasks of type %s cannot have keys yet: a transaction has written to taskq.task and is still open', new.name),
                hint = 'Try again, or end that transaction: see pg_stat_activity.';
    end;
    create index if not exists task_key
    on taskq.task (queue, task_type, payload_version, crashes, priority, key, run_at, task_id)
    with (deduplicate_items = off)
    where key is not null;
    if not (select indisvalid from pg_index where indexrelid = 'taskq.task_key'::regclass) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'the index taskq.task_key is not valid',
            hint = 'Drop it, or wait until whoever builds it has done so.';
    end if;
    execute format(
        'create or replace trigger %I
         before insert or update of payload, task_type on taskq.task
         for each row when (new.task_type = any (%L::text[]))
         execute function taskq.%I(%s)',
        own_name,
        names,
        case when is_sequence then 'give_place' else 'give_key' end,
        (select string_agg(quote_literal(field), ', ') from unnest(new.fields) as field)
    );
    execute format('comment on trigger %I on taskq.task is %L', own_name, said);
    if is_sequence then
        perform taskq.index_sequences(own_name, new.name, names, new.fields);
    end if;
    execute format('select last_value from %s', pg_get_serial_sequence('taskq.task', 'task_id')) into last;
    update taskq.limit_rule
    set keyless_after = 0,
        keyless_to = last
    where scope = 'key'
      and name = new.name;
    return null;
end
$index_keys$;

create trigger index_keys
after insert or update of fields, aliases on taskq.limit_rule
for each row when (new.scope = 'key')
execute function taskq.index_keys();

-- Gives their keys to some of the tasks that waited before their type had a limit by these fields.
create function taskq.give_missing_keys(of_type text) returns void
language plpgsql
as $give_missing_keys$
declare
    page constant integer := 2000;
    rule taskq.limit_rule;
    last bigint;
    -- True or null.
    is_sequence boolean := (
        select true
        from taskq.limit_rule
        where limit_rule.scope = 'key'
          and limit_rule.name = of_type
          and limit_rule.kind = 'sequence'
    );
begin
    select limit_rule.*
    into rule
    from taskq.limit_rule
    where limit_rule.scope = 'key'
      and limit_rule.name = of_type
      and limit_rule.keyless_to is not null
    order by limit_rule.kind
    limit 1
    for update skip locked;
    if not found then
        return;
    end if;
    select max(task.task_id)
    into last
    from (
        select task_id
        from taskq.task
        where task_id > rule.keyless_after
          and task_id <= rule.keyless_to
        order by task_id
        limit page
    ) as task;
    update taskq.task
    set key = taskq.limit_key(payload, rule.fields),
        in_sequence = is_sequence
    where ctid = any (
        array(
            select task.ctid
            from taskq.task
            where task.task_id > rule.keyless_after
              and task.task_id <= last
              and task.task_type = any (rule.name || rule.aliases)
              and (task.key, task.in_sequence)
                is distinct from (taskq.limit_key(task.payload, rule.fields), is_sequence)
            for update skip locked
        )
    );
    update taskq.limit_rule
    set keyless_after = last,
        keyless_to = case when last is not null then rule.keyless_to end
    where scope = 'key'
      and name = rule.name;
end
$give_missing_keys$;

-- Returns the number of the lock that whoever claims from a scope holds.
create function taskq.gate_lock(scope text, name text, key text) returns bigint
language sql
immutable
parallel safe
return hashtextextended(concat_ws(' ', 'taskq gate taskq', scope, name, key), 0);

-- Returns how many may start by a rate now; null where there is none. `spacing` is the time between two starts, in
-- seconds, and `burst` how many may start at once after a time of quiet.
create function taskq.rate_room(
    next_start timestamptz,
    held_until timestamptz,
    spacing double precision,
    burst integer
) returns bigint
language sql
stable
return case
    when held_until > now() then 0
    when spacing is not null
        then greatest(floor(burst - extract(epoch from greatest(next_start, now()) - now()) / spacing + 1e-6), 0)
end;

-- Returns when something may start by a rate, if nothing may now.
create function taskq.rate_opens(
    next_start timestamptz,
    held_until timestamptz,
    spacing double precision,
    burst integer
) returns timestamptz
language sql
stable
return greatest(
    held_until,
    greatest(next_start, now()) - make_interval(secs => coalesce(spacing * (burst - 1), 0))
);

-- Returns the keys of the tasks of a type that run and were claimed before workers knew of its limit; null where it has
-- none. Reads all leases.
create function taskq.running_unsettled(names text[], fields text[]) returns setof text
language sql
stable
as $running_unsettled$
    select case when fields is not null then taskq.limit_key(task.payload, fields) end
    from taskq.lease
    cross join lateral taskq.left_in(lease) as task
    where lease.limited_type is null
      and lease.task_types && names
      and task.task_type = any (names)
$running_unsettled$;

-- Remembers that nothing of a scope runs any more that was claimed before workers knew of its limit. Waits for nobody: who
-- changes limits may wait for the claim.
create function taskq.settle(of_scope text, of_name text) returns void
language sql
as $settle$
    update taskq.limit_rule
    set is_settled = true
    where ctid = any (
        array(
            select held.ctid
            from taskq.limit_rule as held
            where held.scope = of_scope
              and held.name = of_name
            for update skip locked
        )
    )
$settle$;

-- Returns how many tasks of a queue or of a type may start, and when the next may if that is none. Whoever calls has the
-- scope's lock.
create function taskq.scope_room(of_scope text, of_name text, names text[]) returns table (room bigint, opens_at timestamptz)
language plpgsql
set enable_seqscan = off
set jit = off
as $scope_room$
#variable_conflict use_column
declare
    rule record;
    runs bigint;
    others bigint := 0;
begin
    select
        min(limits.most) filter (where limits.kind = 'concurrency') as most,
        min(limits.seconds / limits.most) filter (where limits.kind = 'rate') as spacing,
        min(limits.burst) filter (where limits.kind = 'rate') as burst,
        coalesce(bool_and(limits.is_settled), true) as is_settled,
        max(limits.since) < now() - interval '30 seconds' as is_old
    into rule
    from taskq.limits
    where limits.scope = of_scope
      and limits.name = of_name;

    if not rule.is_settled then
        if of_scope = 'queue' then
            select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
            into others
            from taskq.lease
            where lease.queue = of_name
              and lease.limited_type is null;
        else
            select count(*) into others from taskq.running_unsettled(names, null);
        end if;
        -- By now every worker has read the limit before a scan.
        if others = 0 and rule.is_old then
            perform taskq.settle(of_scope, of_name);
        end if;
    end if;
    if rule.most is not null and of_scope = 'queue' then
        select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
        into runs
        from taskq.lease
        where lease.queue = of_name
          and lease.limited_type <> '';
    elsif rule.most is not null then
        select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
        into runs
        from taskq.lease
        where lease.limited_type = of_name;
    end if;

    return query
    select
        greatest(
            least(
                rule.most - runs - others,
                taskq.rate_room(gate.next_start, gate.held_until, rule.spacing, rule.burst)
            ),
            0
        ),
        taskq.rate_opens(gate.next_start, gate.held_until, rule.spacing, rule.burst)
    from (values (1)) as always
    left join taskq.gate
      on gate.scope = of_scope
     and gate.name = of_name
     and gate.key = '';
end
$scope_room$;

-- Counts starts against a rate.
create function taskq.charge(of_scope text, of_name text, keys text[], starts bigint[]) returns void
language sql
as $charge$
    insert into taskq.gate as held (scope, name, key, next_start)
    select of_scope, of_name, started.key, now() + make_interval(secs => started.number * rule.spacing)
    from unnest(keys, starts) as started (key, number)
    cross join (
        select limits.seconds / limits.most as spacing
        from taskq.limits
        where limits.scope = of_scope
          and limits.name = of_name
          and limits.kind = 'rate'
          and limits.most is not null
    ) as rule
    order by started.key
    on conflict on constraint gate_pkey do update
    set next_start = greatest(held.next_start, now()) + (excluded.next_start - now())
$charge$;

-- Has nothing start for a while of the key of a lease's tasks, or of their type where it has no key. Returns what is held,
-- or null where the type has no limit that claims would look at.
create function taskq.hold_key(of_lease uuid, seconds double precision) returns text
language sql
as $hold_key$
    with held as (
        insert into taskq.gate as held (scope, name, key, held_until)
        select
            limited.scope,
            lease.limited_type,
            coalesce(lease.limited_key, ''),
            now() + make_interval(secs => seconds)
        from taskq.lease
        cross join lateral (
            select case when lease.limited_key is null then 'task_type' else 'key' end as scope
        ) as limited
        where lease.lease_id = of_lease
          and exists (
              select
              from taskq.limit_rule
              where limit_rule.scope = limited.scope
                and limit_rule.name = lease.limited_type
          )
        on conflict on constraint gate_pkey do update
        set held_until = greatest(held.held_until, excluded.held_until)
        returning held.scope
    )
    select held.scope from held
$hold_key$;

-- Deletes the rows of gates that say nothing any more, so many at the most, and returns how many: what they were used up
-- by has passed. Whoever claims finds none then, and makes it again.
create function taskq.prune_gates(most bigint) returns bigint
language sql
begin atomic
    with over as materialized (
        select gate.scope, gate.name, gate.key
        from taskq.gate
        where gate.next_start <= now()
          and gate.held_until <= now()
        limit most
        for update skip locked
    ),
    pruned as (
        delete from taskq.gate
        using over
        where gate.scope = over.scope
          and gate.name = over.name
          and gate.key = over.key
        returning 1
    )
    select count(*) from pruned;
end;

-- Gives rates back what tasks have cost that were claimed and have not started: so many of each lease. Rows are locked in
-- the order in which claims change them.
create function taskq.return_starts(lease_ids uuid[], numbers bigint[]) returns void
language sql
as $return_starts$
    with unstarted as materialized (
        select place.scope, place.name, place.key, sum(given.number) as number
        from unnest(lease_ids, numbers) as given (lease_id, number)
        join taskq.lease on lease.lease_id = given.lease_id
        cross join lateral (
            values
                ('queue', lease.queue, ''),
                ('task_type', lease.limited_type, ''),
                ('key', lease.limited_type, lease.limited_key)
        ) as place (scope, name, key)
        where lease.limited_type is not null
        group by place.scope, place.name, place.key
    ),
    held as materialized (
        select gate.scope, gate.name, gate.key, unstarted.number * limits.seconds / limits.most as seconds
        from unstarted
        join taskq.gate
          on gate.scope = unstarted.scope
         and gate.name = unstarted.name
         and gate.key = unstarted.key
        join taskq.limits
          on limits.scope = unstarted.scope
         and limits.name = unstarted.name
         and limits.kind = 'rate'
         and limits.most is not null
        order by array_position(array['queue', 'task_type', 'key'], gate.scope), gate.name, gate.key
        for update of gate
    )
    update taskq.gate
    set next_start = gate.next_start - make_interval(secs => held.seconds)
    from held
    where gate.scope = held.scope
      and gate.name = held.name
      and gate.key = held.key
$return_starts$;

-- Returns the next key of a lane, how many of its tasks may start by the limits of the key, when one may if none may now,
-- and how many of them are due: no more than may start, and than are wanted. Where there are many, they are not counted to
-- the end: then a claim may bring less than it asked for, and the next goes on behind this key.
--
-- Here and in taskq.claim_limited `between` says again what `=` has said: Postgres takes that for rare whatever it believes of the keys. Without
-- it Postgres goes through the whole lane for one key where its statistics are of one and there are fifty.
create function taskq.next_key(
    of_queue text,
    of_type text,
    of_version smallint,
    of_crashes integer,
    of_priority smallint,
    of_name text,
    behind text,
    most integer,
    spacing double precision,
    burst integer,
    wanted bigint
) returns table (key text, room bigint, opens_at timestamptz, due bigint)
language sql
stable
rows 1
as $next_key$
    select next.key, gate.room, gate.opens_at, due.number
    from (
        select task.key
        from taskq.task
        where task.queue = of_queue
          and task.task_type = of_type
          and task.payload_version = of_version
          and task.crashes = of_crashes
          and task.priority = of_priority
          and task.key > behind
        order by task.key
        limit 1
    ) as next
    cross join lateral (
        select
            coalesce(
                least(
                    most - (
                        select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
                        from taskq.lease
                        where lease.limited_type = of_name
                          and lease.limited_key = next.key
                    ),
                    case
                        when held.key is null then burst
                        else taskq.rate_room(held.next_start, held.held_until, spacing, burst)
                    end
                ),
                wanted
            ) as room,
            case
                when held.key is not null
                    then taskq.rate_opens(held.next_start, held.held_until, spacing, burst)
            end as opens_at
        from (values (1)) as always
        left join taskq.gate as held
          on held.scope = 'key'
         and held.name = of_name
         and held.key = next.key
    ) as gate
    cross join lateral (
        select case when count(*) < 250 then count(*) else least(gate.room, wanted) end as number
        from (
            select
            from taskq.task
            where task.queue = of_queue
              and task.task_type = of_type
              and task.payload_version = of_version
              and task.crashes = of_crashes
              and task.priority = of_priority
              and task.key = next.key
              and task.key between next.key and next.key
              and task.run_at <= now()
            -- By the key too, or it might go through the whole lane for this one.
            order by task.key, task.run_at, task.task_id
            limit greatest(least(gate.room, wanted, 250), 0)
        ) as head
    ) as due
$next_key$;

-- Returns how many tasks of a key start in its turn, where keys have fair turns: see 0013_fair.sql. A claim within limits
-- often takes one task, and the next claim knows at which key that was and not how many it had. So chance decides after each
-- task whether the turn is over, such that a turn has as many tasks as the weight of the key is, on average.
create function taskq.limited_turn(of_type text, of_key text) returns bigint
language plpgsql
as $limited_turn$
declare
    weight_of_key double precision;
begin
    select said.weight
    into weight_of_key
    from taskq.fair_weight as said
    where said.task_type = of_type
      and said.key = of_key;
    if coalesce(weight_of_key, 1) = 1 then
        return 1;
    end if;
    return 1 + floor(ln(1 - random()) / ln(1 - 1 / weight_of_key));
end
$limited_turn$;

-- Returns how many tasks of each key start, of those that may, so that `most` do: one turn of each key after the other, round
-- by round if `goes_round`. `turns` are the first ones. Tells at which key that ends, and whether its turn goes on.
create function taskq.rooms_in_turns(
    of_type text,
    keys text[],
    rooms bigint[],
    turns bigint[],
    most bigint,
    goes_round boolean
) returns table (given bigint[], ended_at integer, is_cut boolean)
language plpgsql
as $rooms_in_turns$
declare
    place integer := 1;
    last integer := cardinality(keys);
    wanted bigint := most;
    turn bigint;
    has_more boolean := false;
begin
    given := array_fill(0::bigint, array[last]);
    ended_at := last;
    is_cut := false;
    loop
        turn := coalesce(turns[place], taskq.limited_turn(of_type, keys[place]));
        turns[place] := null;
        -- Of a key that may start as many as are wanted nobody has counted how many more it may.
        is_cut := turn > wanted and rooms[place] - given[place] >= wanted;
        turn := least(turn, rooms[place] - given[place], wanted);
        given[place] := given[place] + turn;
        wanted := wanted - turn;
        has_more := has_more or rooms[place] > given[place];
        ended_at := place;
        exit when wanted = 0;
        place := place + 1;
        if place > last then
            exit when not goes_round or not has_more;
            place := 1;
            has_more := false;
        end if;
    end loop;
    return next;
end
$rooms_in_turns$;

-- Claims due tasks of one lane whose queue or task type is limited, and returns a row for each lease. The last row is of
-- no lease. It says behind which key to go on, whether the lane has no further key, whether somebody else claims from it
-- just now, and when something of it may start by its rates, if nothing may yet.
--
-- What runs is what leases list and not among their `done`: a task that has left its lease has left its limit, whatever
-- it left by. Whoever claims holds the lock of each scope that bounds the tasks, and counts in a later statement. So it
-- sees all that others claimed before; and what is completed, but not committed, runs still.
--
-- Locks are tried, not waited for, so there is no order in which they must be had.
create function taskq.claim_limited(
    of_worker uuid,
    lease_seconds double precision,
    of_queue text,
    -- All names of the type, first the one by which it is limited, and the name in the lane.
    names text[],
    of_type text,
    of_version smallint,
    of_crashes integer,
    of_priority smallint,
    -- How many to take at most, and how many of them would start at once.
    most bigint,
    slots bigint,
    -- Begins behind this key, and in a lane without keys behind these places, with so many tasks behind each.
    from_key text,
    from_run_ats timestamptz[],
    from_task_ids bigint[],
    shares integer[],
    -- Whether each task has a lease of its own.
    is_apart boolean,
    -- Whether tasks may have keys of which one runs at a time.
    takes_turns boolean,
    -- The keys of which something has ended since a claim found the lane full; null where others may have room.
    freed_keys text[] default null
) returns table (
    lease_id uuid,
    task_ids bigint[],
    task_types text[],
    payload_versions smallint[],
    payloads jsonb[],
    priorities smallint[],
    run_ats timestamptz[],
    created_ats timestamptz[],
    max_attempts integer[],
    attempts integer[],
    crashes integer[],
    errors jsonb[],
    metadatas jsonb[],
    limited_key text,
    is_scarce boolean,
    last_key text,
    is_end boolean,
    is_busy boolean,
    opens_in double precision
)
language plpgsql
set enable_seqscan = off
set jit = off
-- Before the first analyze Postgres expects few tasks, and would sort a whole lane to find the next key of it.
set enable_sort = off
-- Making plans for the values at hand would be half of a claim of few tasks.
set plan_cache_mode = force_generic_plan
as $claim_limited$
#variable_conflict use_column
declare
    -- Where there is so much room besides, tasks may wait in their worker for slots.
    plenty constant bigint := 100;
    no_end constant bigint := 9223372036854775807;
    keys_at_once constant integer := 100;
    keys_looked_at constant integer := 500;
    gate record;
    whole record;
    rule record;
    free bigint;
    opens_at timestamptz;
    rated text[] := '{}';
    -- Of a sequence: the last id up to which all waiting tasks have their keys; null where all have.
    keyed_to bigint;
    unsettled text[];
    looked text[];
    rooms bigint[];
    turns bigint[];
    -- Where keys have fair turns: at which of those that were looked at the last turn ends, and whether it goes on.
    ended_at integer;
    is_cut boolean;
    keys text[];
    taken bigint := 0;
    taken_keys text[] := '{}';
    taken_counts bigint[] := '{}';
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a claim within limits needs the isolation level "read committed"' using
            errcode = 'invalid_transaction_state',
            hint = 'Set default_transaction_isolation to that for the role of the worker.';
    end if;
    is_end := true;
    is_busy := false;
    -- It stays so unless keys are looked at.
    last_key := from_key;

    for gate in
        select limits.scope, limits.name, bool_or(limits.kind = 'rate') as has_rate
        from taskq.limits
        where limits.scope = 'queue' and limits.name = of_queue
           or limits.scope = 'task_type' and limits.name = names[1]
        group by limits.scope, limits.name
    loop
        -- What has ended leaves room for any key.
        freed_keys := null;
        if not pg_try_advisory_xact_lock(taskq.gate_lock(gate.scope, gate.name, null)) then
            is_busy := true;
            return next;
            return;
        end if;
        select scope.room, scope.opens_at
        into whole
        from taskq.scope_room(gate.scope, gate.name, names) as scope;
        free := least(free, whole.room);
        if gate.has_rate then
            rated := rated || gate.scope;
        end if;
        if whole.room = 0 and whole.opens_at > now() then
            opens_at := greatest(opens_at, whole.opens_at);
        end if;
    end loop;
    if free = 0 then
        opens_in := extract(epoch from opens_at - now());
        return next;
        return;
    end if;
    select
        max(limits.fields) as fields,
        min(limits.most) filter (where limits.kind in ('concurrency', 'sequence')) as most,
        bool_or(limits.kind = 'sequence') as is_sequence,
        coalesce(bool_or(limits.kind = 'fair'), false) as is_fair,
        min(limits.on_dead) as on_dead,
        min(limits.seconds / limits.most) filter (where limits.kind = 'rate') as spacing,
        min(limits.burst) filter (where limits.kind = 'rate') as burst,
        bool_and(limits.is_settled) as is_settled,
        max(limits.since) < now() - interval '30 seconds' as is_old,
        bool_or(limits.has_keyless) as has_keyless
    into rule
    from taskq.limits
    where limits.scope = 'key'
      and limits.name = names[1];
    -- What a worker cannot start at once is left to others, unless there is plenty.
    most := least(
        most,
        free,
        case
            when takes_turns or rule.spacing is not null then slots
            when least(free, rule.most) is not null then greatest(slots, (least(free, rule.most) - plenty) / 4)
        end
    );
    if most = 0 then
        is_busy := true;
        return next;
        return;
    end if;

    if rule.fields is not null then
        if rule.has_keyless then
            perform taskq.give_missing_keys(names[1]);
        end if;
        -- A transaction older than the limit may have added some without a key.
        if (
            select task.key is null
            from taskq.task
            where task.queue = of_queue
              and task.task_type = of_type
              and task.payload_version = of_version
              and task.crashes = of_crashes
              and task.priority = of_priority
            order by task.run_at, task.task_id
            limit 1
        ) then
            update taskq.task
            set key = taskq.limit_key(payload, rule.fields),
                in_sequence = case when rule.is_sequence then true end
            where ctid = any (
                array(
                    select task.ctid
                    from taskq.task
                    where task.queue = of_queue
                      and task.task_type = of_type
                      and task.payload_version = of_version
                      and task.crashes = of_crashes
                      and task.priority = of_priority
                    order by task.run_at, task.task_id
                    limit 1000
                    for update skip locked
                )
            );
        end if;
        if not rule.is_settled then
            unsettled := array(select taskq.running_unsettled(names, rule.fields));
            if cardinality(unsettled) = 0 and rule.is_old then
                perform taskq.settle('key', names[1]);
            end if;
        end if;

        if freed_keys is not null and rule.spacing is null and rule.is_settled and not rule.is_sequence then
            -- Each once, or two leases would have its tasks.
            looked := array(
                select distinct given.key
                from unnest(freed_keys) as given (key)
                where given.key is not null
                order by given.key
            );
            rooms := array_fill(1::bigint, array[cardinality(looked)]);
        -- The next keys of the lane, and of which of them the head may start, until there is enough for this claim.
        elsif rule.is_sequence then
            if rule.has_keyless then
                keyed_to := (
                    select min(limit_rule.keyless_after)
                    from taskq.limit_rule
                    where limit_rule.scope = 'key'
                      and limit_rule.name = names[1]
                      and limit_rule.keyless_to is not null
                );
            end if;
            with recursive visited as (
                select next.*, 1 as place, next.due as total
                from taskq.next_in_sequence(
                    of_queue,
                    of_type,
                    of_version,
                    of_crashes,
                    of_priority,
                    names,
                    coalesce(from_key, ''),
                    rule.most,
                    rule.spacing,
                    rule.burst,
                    rule.fields,
                    rule.on_dead,
                    keyed_to
                ) as next
                union all
                select next.*, visited.place + 1, visited.total + next.due
                from visited
                cross join lateral taskq.next_in_sequence(
                    of_queue,
                    of_type,
                    of_version,
                    of_crashes,
                    of_priority,
                    names,
                    visited.key,
                    rule.most,
                    rule.spacing,
                    rule.burst,
                    rule.fields,
                    rule.on_dead,
                    keyed_to
                ) as next
                where visited.place < keys_looked_at
                  and visited.total < most
            )
            select
                array_agg(visited.key order by visited.place),
                array_agg(visited.due order by visited.place),
                min(visited.opens_at) filter (where visited.room <= 0 and visited.opens_at > now()),
                coalesce(max(visited.place), 0) < keys_looked_at and coalesce(max(visited.total), 0) < most
            into looked, rooms, opens_at, is_end
            from visited;
        else
            -- The next keys of the lane, and how many of each may start, until there is enough for this claim. Where keys have
            -- fair turns, so much of each.
            with recursive visited as (
                select next.*, turn.size as turn, 1 as place, least(next.due, turn.size) as total
                from taskq.next_key(
                    of_queue,
                    of_type,
                    of_version,
                    of_crashes,
                    of_priority,
                    names[1],
                    coalesce(from_key, ''),
                    rule.most,
                    rule.spacing,
                    rule.burst,
                    most
                ) as next
                cross join lateral (
                    -- Once for each key, and only where keys have turns.
                    select case when rule.is_fair then taskq.limited_turn(names[1], next.key) else no_end end as size
                    offset 0
                ) as turn
                union all
                select next.*, turn.size, visited.place + 1, visited.total + least(next.due, turn.size)
                from visited
                cross join lateral taskq.next_key(
                    of_queue,
                    of_type,
                    of_version,
                    of_crashes,
                    of_priority,
                    names[1],
                    visited.key,
                    rule.most,
                    rule.spacing,
                    rule.burst,
                    most
                ) as next
                cross join lateral (
                    -- Once for each key, and only where keys have turns.
                    select case when rule.is_fair then taskq.limited_turn(names[1], next.key) else no_end end as size
                    offset 0
                ) as turn
                where visited.place < keys_looked_at
                  and visited.total < most
            )
            select
                array_agg(visited.key order by visited.place),
                array_agg(visited.due order by visited.place),
                array_agg(visited.turn order by visited.place),
                min(visited.opens_at) filter (where visited.room <= 0 and visited.opens_at > now()),
                coalesce(max(visited.place), 0) < keys_looked_at and coalesce(max(visited.total), 0) < most
            into looked, rooms, turns, opens_at, is_end
            from visited;
            if rule.is_fair and looked is not null then
                -- Where all keys were looked at, they share what one turn of each leaves.
                select shared.given, shared.ended_at, shared.is_cut
                into rooms, ended_at, is_cut
                from taskq.rooms_in_turns(names[1], looked, rooms, turns, most, is_end and from_key is null) as shared;
            end if;
        end if;
        last_key := looked[cardinality(looked)];

        -- Those of them that nobody else claims from.
        if (select count(*) from unnest(rooms) as room where room > 0) > keys_at_once then
            is_end := false;
            last_key := (
                select given.key
                from unnest(looked, rooms) with ordinality as given (key, room, place)
                where given.room > 0
                order by given.place
                offset keys_at_once - 1
                limit 1
            );
        end if;
        with open as materialized (
            select given.key, given.place
            from unnest(looked, rooms) with ordinality as given (key, room, place)
            where given.room > 0
            order by given.place
            limit keys_at_once
        ),
        tried as materialized (
            select
                open.key,
                open.place,
                pg_try_advisory_xact_lock(taskq.gate_lock('key', names[1], open.key)) as is_mine
            from open
        )
        select
            array_agg(tried.key order by tried.place) filter (where tried.is_mine),
            -- The keys that are missing still come with the next claims.
            coalesce(bool_or(not tried.is_mine), false) or keyed_to is not null
        into keys, is_busy
        from tried;
    end if;

    for
        lease_id,
        task_ids,
        task_types,
        payload_versions,
        payloads,
        priorities,
        run_ats,
        created_ats,
        max_attempts,
        attempts,
        crashes,
        errors,
        metadatas,
        limited_key,
        is_scarce
    in
        with door as materialized (
            select given.key, given.place, gen_random_uuid() as lease_id, room.room
            from unnest(case when rule.fields is null then array[null::text] else keys end)
                with ordinality as given (key, place)
            cross join lateral (
                select
                    least(
                        rule.most - (
                            select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
                            from taskq.lease
                            where lease.limited_type = names[1]
                              and lease.limited_key = given.key
                        ) - (
                            select count(*)
                            from unnest(unsettled) as other (key)
                            where other.key = given.key
                        ),
                        case
                            when held.key is null then rule.burst
                            else taskq.rate_room(held.next_start, held.held_until, rule.spacing, rule.burst)
                        end,
                        -- Its turns.
                        case when ended_at is not null then rooms[array_position(looked, given.key)] end
                    ) as room
                from (values (1)) as always
                left join taskq.gate as held
                  on held.scope = 'key'
                 and held.name = names[1]
                 and held.key = given.key
            ) as room
        ),
        due as materialized (
            select head.place
            from door
            cross join lateral (
                select task.ctid as place
                from taskq.task
                where door.key is not null
                  and task.queue = of_queue
                  and task.task_type = of_type
                  and task.payload_version = of_version
                  and task.crashes = of_crashes
                  and task.priority = of_priority
                  and task.key = door.key
                  and task.key between door.key and door.key
                  and task.run_at <= now()
                  and (not takes_turns or taskq.may_start(task.task_id, task.task_type, task.metadata -> 'task.again'))
                -- By the key too, or it might go through the whole lane for this one.
                order by task.key, task.run_at, task.task_id
                limit greatest(least(door.room, most), 0)
                for update skip locked
            ) as head
            where rule.fields is not null
              and rule.is_sequence is not true
            union all
            -- The head alone: if somebody else has its row, the next one waits all the same.
            select head.place
            from door
            cross join lateral (
                select task.ctid as place
                from taskq.sequence_head(names, door.key, rule.fields, rule.on_dead) as first
                join taskq.task on task.ctid = first.place
                where door.room > 0
                  and task.task_id = first.task_id
                  and task.queue = of_queue
                  and task.task_type = of_type
                  and task.payload_version = of_version
                  and task.crashes = of_crashes
                  and task.priority = of_priority
                  and task.run_at <= now()
                  and (keyed_to is null or task.task_id <= keyed_to)
                for update of task skip locked
            ) as head
            where rule.is_sequence
            union all
            select head.place
            from (
                -- What two of them find is one, and the first ones are the first.
                select head.place, min(given.turn) as turn
                from unnest(from_run_ats, from_task_ids, shares)
                    with ordinality as given (run_at, task_id, share, turn)
                cross join lateral (
                    select task.ctid as place
                    from taskq.task
                    where task.queue = of_queue
                      and task.task_type = of_type
                      and task.payload_version = of_version
                      and task.crashes = of_crashes
                      and task.priority = of_priority
                      and (task.run_at, task.task_id) > (coalesce(given.run_at, '-infinity'), given.task_id)
                      and task.run_at <= now()
                      and (
                          not takes_turns
                          or taskq.may_start(task.task_id, task.task_type, task.metadata -> 'task.again')
                      )
                    order by task.run_at, task.task_id
                    limit least(given.share, most)
                    for update skip locked
                ) as head
                group by head.place
                order by turn
                limit most
            ) as head
            where rule.fields is null
            limit most
        ),
        batch as (
            delete from taskq.task
            where ctid = any (array(select due.place from due))
            returning
                task.*,
                case when is_apart or of_crashes > 0 then gen_random_uuid() end as own_lease_id
        )
        insert into taskq.lease as made (
            lease_id,
            worker_id,
            queue,
            expires_at,
            task_ids,
            task_types,
            payload_versions,
            payloads,
            priorities,
            run_ats,
            created_ats,
            max_attempts,
            attempts,
            crashes,
            errors,
            metadatas,
            limited_type,
            limited_key
        )
        select
            coalesce(batch.own_lease_id, door.lease_id),
            of_worker,
            of_queue,
            now() + make_interval(secs => lease_seconds),
            array_agg(batch.task_id),
            array_agg(batch.task_type),
            array_agg(batch.payload_version),
            array_agg(batch.payload),
            array_agg(batch.priority),
            array_agg(batch.run_at),
            array_agg(batch.created_at),
            array_agg(batch.max_attempts),
            array_agg(batch.attempts),
            array_agg(batch.crashes),
            array_agg(batch.errors),
        case when count(batch.metadata) > 0 then array_agg(batch.metadata) end,
            names[1],
            door.key
        from batch
        join door on door.key is not distinct from (case when rule.fields is not null then batch.key end)
        group by coalesce(batch.own_lease_id, door.lease_id), door.key
        returning
            made.lease_id,
            made.task_ids,
            made.task_types,
            made.payload_versions,
            made.payloads,
            made.priorities,
            made.run_ats,
            made.created_ats,
            made.max_attempts,
            made.attempts,
            made.crashes,
            made.errors,
            made.metadatas,
            made.limited_key,
            takes_turns or least(free, rule.most) < plenty
    loop
        taken := taken + cardinality(task_ids);
        taken_keys := taken_keys || limited_key;
        taken_counts := taken_counts || cardinality(task_ids)::bigint;
        return next;
    end loop;

    if taken > 0 then
        if 'queue' = any (rated) then
            perform taskq.charge('queue', of_queue, array[''], array[taken]);
        end if;
        if 'task_type' = any (rated) then
            perform taskq.charge('task_type', names[1], array[''], array[taken]);
        end if;
        if rule.spacing is not null then
            perform taskq.charge('key', names[1], started.keys, started.numbers)
            from (
                select array_agg(started.key) as keys, array_agg(started.number) as numbers
                from (
                    select given.key, sum(given.number)::bigint as number
                    from unnest(taken_keys, taken_counts) as given (key, number)
                    group by given.key
                ) as started
            ) as started;
        end if;
    end if;
    lease_id := null;
    task_ids := null;
    task_types := null;
    payload_versions := null;
    payloads := null;
    priorities := null;
    run_ats := null;
    created_ats := null;
    max_attempts := null;
    attempts := null;
    crashes := null;
    errors := null;
    metadatas := null;
    if taken >= most and rule.fields is not null then
        -- There may be more keys between the last that gave something and the last that was looked at.
        last_key := (select given.key from unnest(taken_keys) as given (key) order by given.key desc limit 1);
        is_end := false;
        if ended_at is not null then
            -- A key that has not had all of its turn goes on with it.
            last_key := case when is_cut then coalesce(looked[ended_at - 1], from_key) else looked[ended_at] end;
        end if;
    elsif taken > 0 and ended_at is not null and is_end and from_key is not null then
        -- The round goes on with the first key.
        last_key := null;
        is_end := false;
    end if;
    opens_in := case
        -- What has started now may have used a rate up: the next claim tells until when.
        when taken > 0 and (rated <> '{}' or rule.spacing is not null) then 0
        else extract(epoch from opens_at - now())
    end;
    return next;
end
$claim_limited$;

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

-- Sequences: of each key one task at a time, the oldest first. A key is closed while its head runs, is not due, or is dead.

-- The dead tasks that close the keys of their sequences. It outlives the row in taskq.dead, which may be pruned: a sequence
-- goes on when somebody retries the task or skips it, and not because nobody remembers it.
create table taskq.sequence_block (
    task_id    bigint      not null,
    task_type  text        not null,
    key        text        not null collate "C",
    -- The key is made of it, again where a later program names other fields.
    payload    jsonb       not null,
    state      text        not null,
    blocked_at timestamptz not null default now(),
    constraint sequence_block_pkey primary key (task_id)
);

create index sequence_block_key on taskq.sequence_block (key, task_type);

-- Gives a task its key and its place in the sequence of its key. The arguments of the trigger are the fields.
create function taskq.give_place() returns trigger
language plpgsql
as $give_place$
begin
    new.key := taskq.limit_key(new.payload, tg_argv);
    new.in_sequence := true;
    return new;
end
$give_place$;

-- Frees the key of a dead task that somebody retries: it is the first of those that wait. It runs with the rights of the
-- owner, since whoever enqueues may not read what is blocked.
create function taskq.unblock_sequence() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $unblock_sequence$
begin
    delete from taskq.sequence_block where task_id = new.task_id;
    return new;
end
$unblock_sequence$;

-- Closes the key of a task of a sequence that is dead, unless the next one is to start then. The argument of the trigger is
-- the name by which the type is limited.
create function taskq.block_sequence() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $block_sequence$
begin
    insert into taskq.sequence_block (task_id, task_type, key, payload, state)
    select
        new.task_id,
        new.task_type,
        taskq.limit_key(new.payload, limit_rule.fields),
        new.payload,
        new.state
    from taskq.limit_rule
    where limit_rule.scope = 'key'
      and limit_rule.name = tg_argv[0]
      and limit_rule.kind = 'sequence'
      and limit_rule.on_dead = 'block'
    on conflict on constraint sequence_block_pkey do nothing;
    return null;
end
$block_sequence$;

-- Does for a type with sequences what taskq.index_keys does for one with keys: whoever calls has locked the tables.
create function taskq.index_sequences(own_name text, of_name text, names text[], fields text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $index_sequences$
begin
    create index if not exists task_sequence
    on taskq.task (task_type, key, task_id)
    with (deduplicate_items = off)
    where in_sequence;
    if not (select indisvalid from pg_index where indexrelid = 'taskq.task_sequence'::regclass) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'the index taskq.task_sequence is not valid',
            hint = 'Drop it, or wait until whoever builds it has done so.';
    end if;
    -- What is enqueued now has never been dead.
    execute format(
        'create or replace trigger %I
         before insert on taskq.task
         for each row when (new.task_type = any (%L::text[]) and new.created_at <> now())
         execute function taskq.unblock_sequence()',
        replace(own_name, 'zz_key', 'zz_retry'),
        names
    );
    -- A handler that cancels a task has decided about it.
    execute format(
        'create or replace trigger %I
         after insert on taskq.dead
         for each row when (new.task_type = any (%L::text[]) and new.state <> %L)
         execute function taskq.block_sequence(%L)',
        own_name,
        names,
        'cancelled',
        of_name
    );
    update taskq.sequence_block
    set key = taskq.limit_key(payload, index_sequences.fields)
    where task_type = any (names);
end
$index_sequences$;

revoke execute on function taskq.index_sequences from public;

-- Returns the head of a key's sequence, the oldest task that waits in any lane, unless a dead task or one that Postgres
-- refuses to take back stands before it.
create function taskq.sequence_head(names text[], of_key text, fields text[], of_on_dead text) returns table (
    place tid,
    task_id bigint,
    run_at timestamptz,
    queue text,
    task_type text,
    payload_version smallint,
    crashes integer,
    priority smallint
)
language sql
stable
rows 1
as $sequence_head$
    select
        first.place,
        first.task_id,
        first.run_at,
        first.queue,
        first.task_type,
        first.payload_version,
        first.crashes,
        first.priority
    from unnest(names) as given (name)
    -- The next one in the index of sequences, whoever's it is: where Postgres has known one key so far, it would take
    -- another index for an equal key, and walk over the tasks of all others. With the collations of that index: from a
    -- key its own would go to all that is compared here.
    cross join lateral (
        select task.ctid as place, task.*
        from taskq.task
        where task.in_sequence
          and (task.task_type, task.key, task.task_id)
              > (given.name collate "default", of_key collate "C", -9223372036854775808)
        order by task.task_type, task.key, task.task_id
        limit 1
    ) as first
    where first.task_type = given.name
      and first.key = of_key
      and not exists (
        select
        from taskq.sequence_block as block
        where block.key = of_key
          and block.task_type = any (names)
          and of_on_dead = 'block'
    )
      and not exists (
        select
        from taskq.refused
        where refused.task_type = any (names)
          and taskq.limit_key(refused.payload, fields) = of_key
    )
    order by first.task_id
    limit 1
$sequence_head$;

-- Does what taskq.next_key does, for a lane of sequences: at most one task of a key is due, its head, and only if that
-- stands in this lane. A head that is due later opens the lane then.
create function taskq.next_in_sequence(
    of_queue text,
    of_type text,
    of_version smallint,
    of_crashes integer,
    of_priority smallint,
    names text[],
    behind text,
    most integer,
    spacing double precision,
    burst integer,
    fields text[],
    of_on_dead text,
    keyed_to bigint
) returns table (key text, room bigint, opens_at timestamptz, due bigint)
language sql
stable
rows 1
as $next_in_sequence$
    select
        next.key,
        least(gate.room, head.due, 1) as room,
        greatest(gate.opens_at, head.run_at) as opens_at,
        greatest(least(gate.room, head.due, 1), 0) as due
    from (
        select task.key
        from taskq.task
        where task.queue = of_queue
          and task.task_type = of_type
          and task.payload_version = of_version
          and task.crashes = of_crashes
          and task.priority = of_priority
          and task.key > behind
        order by task.key
        limit 1
    ) as next
    cross join lateral (
        select
            least(
                most - (
                    select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
                    from taskq.lease
                    where lease.limited_type = names[1]
                      and lease.limited_key = next.key
                ),
                case
                    when held.key is null then burst
                    else taskq.rate_room(held.next_start, held.held_until, spacing, burst)
                end
            ) as room,
            case
                when held.key is not null
                    then taskq.rate_opens(held.next_start, held.held_until, spacing, burst)
            end as opens_at
        from (values (1)) as always
        left join taskq.gate as held
          on held.scope = 'key'
         and held.name = names[1]
         and held.key = next.key
    ) as gate
    cross join lateral (
        select
            count(*) filter (
                where head.run_at <= now()
                  and head.queue = of_queue
                  and head.task_type = of_type
                  and head.payload_version = of_version
                  and head.crashes = of_crashes
                  and head.priority = of_priority
                  and (keyed_to is null or head.task_id <= keyed_to)
            ) as due,
            max(head.run_at) as run_at
        from (
            select first.*
            from taskq.sequence_head(names, next.key, fields, of_on_dead) as first
            -- While one of the key runs, none is looked for.
            where gate.room > 0
        ) as head
    ) as head
$next_in_sequence$;

-- For people: the dead tasks at which sequences wait, and how many tasks wait behind each.
create view taskq.blocked as
select
    block.task_id,
    block.task_type,
    block.key,
    block.state,
    block.blocked_at,
    dead.errors -> -1 ->> 'error' as error,
    dead.task_id is not null as is_kept,
    (
        select count(*)
        from taskq.task
        where task.in_sequence
          and task.task_type = any (rule.name || rule.aliases)
          and task.key = block.key
    ) as waiting
from taskq.sequence_block as block
join taskq.limit_rule as rule
  on rule.scope = 'key'
 and rule.kind = 'sequence'
 and rule.on_dead = 'block'
 and block.task_type = any (rule.name || rule.aliases)
left join taskq.dead on dead.task_id = block.task_id;

-- Has a sequence go on without the dead task at which it waits, and returns what was blocked. Whoever calls says how many
-- waiting tasks that may free at most, as taskq.blocked tells: if there are more, nothing changes. The dead task stays where
-- it is.
create function taskq.skip_dead(
    task_id bigint,
    frees bigint default null,
    reason text default null,
    by text default session_user
) returns setof taskq.blocked
language plpgsql
rows 1
set search_path = pg_catalog, pg_temp
as $skip_dead$
declare
    found_block taskq.blocked;
    problem text;
begin
    -- One at a time: two who skip one task are told so.
    perform pg_advisory_xact_lock(hashtextextended('taskq limits taskq', 0));
    select blocked.*
    into found_block
    from taskq.blocked
    where blocked.task_id = skip_dead.task_id;
    problem := case
        when found_block.task_id is null
            then format('no sequence waits at task %s: see taskq.blocked', skip_dead.task_id)
        when found_block.waiting > coalesce(skip_dead.frees, -1)
            then format(
                '%s tasks wait behind task %s, key %s of %s: to have them go on without it, say that it frees %s',
                found_block.waiting,
                skip_dead.task_id,
                found_block.key,
                found_block.task_type,
                found_block.waiting
            )
    end;
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    delete from taskq.sequence_block where sequence_block.task_id = skip_dead.task_id;
    perform taskq.write_down(
        'skip',
        'key',
        found_block.key,
        found_block.state,
        skip_dead.reason,
        skip_dead.by,
        skip_dead.task_id,
        found_block.task_type
    );
    return next found_block;
end
$skip_dead$;

-- By the row: most deletions find none.
create trigger tell_limits
after delete on taskq.sequence_block
for each row execute function taskq.tell_limits();

insert into taskq.migration (version, name, oldest_binary)
values (11, 'limits', 2);

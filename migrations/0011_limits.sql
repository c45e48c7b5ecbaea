-- Bounds how many tasks run at once, and how fast they start: of a queue, of a task type, of each key of a type.

-- What bounds the tasks of a scope. A type's program declares it when a worker starts; an operator overrides it.
create table taskq.limit_rule (
    -- What the name is of: 'queue', 'task_type', or 'key' for each key of that task type by itself.
    scope             text        not null,
    name              text        not null,
    -- 'concurrency': how many run at once. 'rate': how many start in a time.
    kind              text        not null,
    -- The fields of the payload that make the key of a task, and other names of the type.
    fields            text[],
    aliases           text[]      not null default '{}',
    -- What the program says; null where it says nothing.
    declared_most     integer,
    declared_seconds  double precision,
    declared_burst    integer,
    declared_at       timestamptz,
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
    constraint limit_rule_pkey primary key (scope, name, kind),
    constraint limit_rule_scope check (scope in ('queue', 'task_type', 'key')),
    constraint limit_rule_kind check (kind in ('concurrency', 'rate')),
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
    is_settled
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
after insert or delete or truncate or update of declared_most, declared_seconds, declared_burst,
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
    key        jsonb       not null,
    next_start timestamptz not null default '-infinity',
    held_until timestamptz not null default '-infinity',
    constraint gate_pkey primary key (scope, name, key)
) with (fillfactor = 50);

-- The key of a task whose type is limited by key. An enqueue writes it; see taskq.give_keys for one that does not.
alter table taskq.task add column key jsonb;

-- Within a lane the tasks of each key stand together. Tasks without a key are not in it.
create index task_key
on taskq.task (queue, task_type, payload_version, crashes, priority, key, run_at, task_id)
with (deduplicate_items = off)
where key is not null;

-- Whose limits bind the tasks of a lease, where limits do: the task type and, where it has any, the key. So what runs of
-- a scope is what its leases list, and nothing else counts.
alter table taskq.lease
    add column limited_type text,
    add column limited_key jsonb;

create index lease_limited_type on taskq.lease (limited_type, limited_key) where limited_type is not null;
create index lease_limited_queue on taskq.lease (queue) where limited_type is not null;

-- Returns the key of a task by fields of its payload. Fields that are absent, or null, make a key as others do.
create function taskq.limit_key(payload jsonb, fields text[]) returns jsonb
language sql
immutable
parallel safe
return taskq.short_key(
    case when jsonb_typeof(payload) = 'object' then taskq.payload_key(payload, fields) else '{}' end
);

-- Returns the number of the lock that whoever claims from a scope holds.
create function taskq.gate_lock(scope text, name text, key jsonb) returns bigint
language sql
immutable
parallel safe
return jsonb_hash_extended(coalesce(key, 'null'), hashtextextended(concat_ws(' ', 'taskq gate taskq', scope, name), 0));

-- Gives their keys to new tasks that came without one.
create function taskq.give_keys(ids bigint[]) returns void
language sql
set search_path = pg_catalog, pg_temp
as $give_keys$
    update taskq.task
    set key = taskq.limit_key(task.payload, limit_rule.fields)
    from taskq.limit_rule
    where task.task_id = any (ids)
      and task.key is null
      and limit_rule.scope = 'key'
      and task.task_type = any (limit_rule.name || limit_rule.aliases)
$give_keys$;

-- Gives another key to a task that waits and gets another payload.
create function taskq.change_key() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $change_key$
begin
    select taskq.limit_key(new.payload, limit_rule.fields)
    into new.key
    from taskq.limit_rule
    where limit_rule.scope = 'key'
      and new.task_type = any (limit_rule.name || limit_rule.aliases)
    limit 1;
    return new;
end
$change_key$;

create trigger change_key
before update of payload on taskq.task
for each row
when (old.key is not null)
execute function taskq.change_key();

-- Looks whether anybody sleeps before it looks who, and whether any type is limited by key before it looks for its
-- tasks. Every name is qualified, operators too, in place of a search_path of the function's own, which would be set
-- and reset with every enqueue.
create or replace function taskq.wake_sleepers() returns trigger
language plpgsql
security definer
as $wake$
begin
    if exists (select from taskq.limit_rule where scope operator(pg_catalog.=) 'key') then
        perform taskq.give_keys(pg_catalog.array_agg(added.task_id))
        from added
        where added.key is null
          and exists (
              select
              from taskq.limit_rule
              where limit_rule.scope operator(pg_catalog.=) 'key'
                and (
                    added.task_type operator(pg_catalog.=) limit_rule.name
                    or added.task_type operator(pg_catalog.=) any (limit_rule.aliases)
                )
          )
        having pg_catalog.count(*) operator(pg_catalog.>) 0;
    end if;
    if exists (select from taskq.sleeper) then
        perform pg_catalog.pg_notify(tg_table_schema::pg_catalog.text, woken.queue)
        from (
            select distinct sleeper.queue
            from taskq.sleeper
            where sleeper.expires_at operator(pg_catalog.>) pg_catalog.now()
              and exists (
                  select from added where added.queue operator(pg_catalog.=) sleeper.queue
              )
        ) as woken;
    end if;
    return null;
end
$wake$;

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
create function taskq.running_unsettled(names text[], fields text[]) returns setof jsonb
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
            update taskq.limit_rule
            set is_settled = true
            where limit_rule.scope = of_scope
              and limit_rule.name = of_name;
        end if;
    end if;
    if rule.most is not null and of_scope = 'queue' then
        select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
        into runs
        from taskq.lease
        where lease.queue = of_name
          and lease.limited_type is not null;
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
     and gate.key = 'null';
end
$scope_room$;

-- Counts starts against a rate.
create function taskq.charge(of_scope text, of_name text, keys jsonb[], starts bigint[]) returns void
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
            coalesce(lease.limited_key, 'null'),
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
                ('queue', lease.queue, 'null'::jsonb),
                ('task_type', lease.limited_type, 'null'),
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
    -- Begins behind this key, and in a lane without keys behind this place.
    from_key jsonb,
    from_run_at timestamptz,
    from_task_id bigint,
    -- Whether each task has a lease of its own.
    is_apart boolean
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
    limited_key jsonb,
    is_scarce boolean,
    last_key jsonb,
    is_end boolean,
    is_busy boolean,
    opens_in double precision
)
language plpgsql
set enable_seqscan = off
set jit = off
as $claim_limited$
#variable_conflict use_column
declare
    -- Where there is so much room besides, tasks may wait in their worker for slots.
    plenty constant bigint := 100;
    keys_at_once constant integer := 100;
    keys_looked_at constant integer := 500;
    gate record;
    whole record;
    rule record;
    free bigint;
    opens_at timestamptz;
    rated text[] := '{}';
    unsettled jsonb[];
    looked jsonb[];
    rooms bigint[];
    keys jsonb[];
    taken bigint := 0;
    taken_keys jsonb[] := '{}';
    taken_counts bigint[] := '{}';
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a claim within limits needs the isolation level "read committed"' using
            errcode = 'invalid_transaction_state',
            hint = 'Set default_transaction_isolation to that for the role of the worker.';
    end if;
    is_end := true;
    is_busy := false;

    for gate in
        select limits.scope, limits.name, bool_or(limits.kind = 'rate') as has_rate
        from taskq.limits
        where limits.scope = 'queue' and limits.name = of_queue
           or limits.scope = 'task_type' and limits.name = names[1]
        group by limits.scope, limits.name
    loop
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
        min(limits.most) filter (where limits.kind = 'concurrency') as most,
        min(limits.seconds / limits.most) filter (where limits.kind = 'rate') as spacing,
        min(limits.burst) filter (where limits.kind = 'rate') as burst,
        bool_and(limits.is_settled) as is_settled,
        max(limits.since) < now() - interval '30 seconds' as is_old
    into rule
    from taskq.limits
    where limits.scope = 'key'
      and limits.name = names[1];
    -- What a worker cannot start at once is left to others, unless there is plenty.
    most := least(
        most,
        free,
        case
            when rule.spacing is not null then slots
            when least(free, rule.most) is not null then greatest(slots, (least(free, rule.most) - plenty) / 4)
        end
    );
    if most = 0 then
        is_busy := true;
        return next;
        return;
    end if;

    if rule.fields is not null then
        -- Tasks that have no key: from before there was the limit, or inserted behind the back of the trigger.
        if (
            select task.key is null
            from taskq.task
            where task.queue = of_queue
              and task.task_type = of_type
              and task.payload_version = of_version
              and task.crashes = of_crashes
              and task.priority = of_priority
              and (task.run_at, task.task_id) > (coalesce(from_run_at, '-infinity'), from_task_id)
            order by task.run_at, task.task_id
            limit 1
        ) then
            perform taskq.give_keys(
                array(
                    select task.task_id
                    from taskq.task
                    where task.queue = of_queue
                      and task.task_type = of_type
                      and task.payload_version = of_version
                      and task.crashes = of_crashes
                      and task.priority = of_priority
                      and (task.run_at, task.task_id) > (coalesce(from_run_at, '-infinity'), from_task_id)
                    order by task.run_at, task.task_id
                    limit 1000
                    for update skip locked
                )
            );
        end if;
        if not rule.is_settled then
            unsettled := array(select taskq.running_unsettled(names, rule.fields));
            if cardinality(unsettled) = 0 and rule.is_old then
                update taskq.limit_rule
                set is_settled = true
                where limit_rule.scope = 'key'
                  and limit_rule.name = names[1];
            end if;
        end if;

        -- The next keys of the lane, and how many of each may start.
        with recursive visited as (
            (
                select task.key, 1 as place
                from taskq.task
                where task.queue = of_queue
                  and task.task_type = of_type
                  and task.payload_version = of_version
                  and task.crashes = of_crashes
                  and task.priority = of_priority
                  and task.key > coalesce(from_key, '[]')
                order by task.key
                limit 1
            )
            union all
            select following.key, visited.place + 1
            from visited
            cross join lateral (
                select task.key
                from taskq.task
                where task.queue = of_queue
                  and task.task_type = of_type
                  and task.payload_version = of_version
                  and task.crashes = of_crashes
                  and task.priority = of_priority
                  and task.key > visited.key
                order by task.key
                limit 1
            ) as following
            where visited.place < keys_looked_at
        ),
        looked_at as (
            select visited.key, visited.place, room.room, room.opens_at
            from visited
            cross join lateral (
                select
                    least(
                        rule.most - (
                            select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
                            from taskq.lease
                            where lease.limited_type = names[1]
                              and lease.limited_key = visited.key
                        ),
                        taskq.rate_room(held.next_start, held.held_until, rule.spacing, rule.burst)
                    ) as room,
                    taskq.rate_opens(held.next_start, held.held_until, rule.spacing, rule.burst) as opens_at
                from (values (1)) as always
                left join taskq.gate as held
                  on held.scope = 'key'
                 and held.name = names[1]
                 and held.key = visited.key
            ) as room
        )
        select
            array_agg(looked_at.key order by looked_at.place),
            array_agg(coalesce(looked_at.room, most) order by looked_at.place),
            min(looked_at.opens_at) filter (where looked_at.room <= 0 and looked_at.opens_at > now())
        into looked, rooms, opens_at
        from looked_at;
        is_end := coalesce(cardinality(looked), 0) < keys_looked_at;
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
            coalesce(bool_or(not tried.is_mine), false)
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
            from unnest(case when rule.fields is null then array[null::jsonb] else keys end)
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
                        taskq.rate_room(held.next_start, held.held_until, rule.spacing, rule.burst)
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
                  and task.run_at <= now()
                -- By the key too, or it might go through the whole lane for this one.
                order by task.key, task.run_at, task.task_id
                limit greatest(least(door.room, most), 0)
                for update skip locked
            ) as head
            where rule.fields is not null
            union all
            select head.place
            from (
                select task.ctid as place
                from taskq.task
                where task.queue = of_queue
                  and task.task_type = of_type
                  and task.payload_version = of_version
                  and task.crashes = of_crashes
                  and task.priority = of_priority
                  and (task.run_at, task.task_id) > (coalesce(from_run_at, '-infinity'), from_task_id)
                  and task.run_at <= now()
                order by task.run_at, task.task_id
                limit most
                for update skip locked
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
            least(free, rule.most) < plenty
    loop
        taken := taken + cardinality(task_ids);
        taken_keys := taken_keys || limited_key;
        taken_counts := taken_counts || cardinality(task_ids)::bigint;
        return next;
    end loop;

    if taken > 0 then
        if 'queue' = any (rated) then
            perform taskq.charge('queue', of_queue, array['null'::jsonb], array[taken]);
        end if;
        if 'task_type' = any (rated) then
            perform taskq.charge('task_type', names[1], array['null'::jsonb], array[taken]);
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
    payloads := null;
    errors := null;
    metadatas := null;
    if taken >= most and rule.fields is not null then
        -- There may be more keys between the last that gave something and the last that was looked at.
        last_key := (select given.key from unnest(taken_keys) as given (key) order by given.key desc limit 1);
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

-- Says what the programs of a worker declare, in place of what was declared of the same task types before, and returns
-- nothing. The limits stand in arrays; `fields` are JSON arrays, or null.
create function taskq.declare_limits(
    task_types text[],
    scopes text[],
    names text[],
    kinds text[],
    mosts integer[],
    spans double precision[],
    bursts integer[],
    fields jsonb[],
    aliases jsonb[]
) returns void
language plpgsql
as $declare_limits$
#variable_conflict use_column
begin
    if cardinality(names) = 0 and not exists (
        select
        from taskq.limit_rule
        where limit_rule.scope <> 'queue'
          and limit_rule.name = any (task_types)
          and limit_rule.declared_most is not null
    ) then
        return;
    end if;
    -- One worker after the other: they start together.
    perform pg_advisory_xact_lock(hashtextextended('taskq limits taskq', 0));
    update taskq.limit_rule
    set declared_most = null, declared_seconds = null, declared_burst = null, declared_at = null
    where limit_rule.scope <> 'queue'
      and limit_rule.name = any (task_types)
      and limit_rule.declared_most is not null
      and limit_rule.is_overridden
      and not exists (
          select
          from unnest(scopes, names, kinds) as given (scope, name, kind)
          where (given.scope, given.name, given.kind) = (limit_rule.scope, limit_rule.name, limit_rule.kind)
      );
    delete from taskq.limit_rule
    where limit_rule.scope <> 'queue'
      and limit_rule.name = any (task_types)
      and not limit_rule.is_overridden
      and not exists (
          select
          from unnest(scopes, names, kinds) as given (scope, name, kind)
          where (given.scope, given.name, given.kind) = (limit_rule.scope, limit_rule.name, limit_rule.kind)
      );
    insert into taskq.limit_rule as held (
        scope,
        name,
        kind,
        fields,
        aliases,
        declared_most,
        declared_seconds,
        declared_burst,
        declared_at
    )
    select
        given.scope,
        given.name,
        given.kind,
        case
            when given.fields is not null then array(select jsonb_array_elements_text(given.fields))
        end,
        array(select jsonb_array_elements_text(given.aliases)),
        given.most,
        given.seconds,
        given.burst,
        now()
    from unnest(scopes, names, kinds, mosts, spans, bursts, fields, aliases)
        as given (scope, name, kind, most, seconds, burst, fields, aliases)
    on conflict on constraint limit_rule_pkey do update
    set fields = excluded.fields,
        aliases = excluded.aliases,
        declared_most = excluded.declared_most,
        declared_seconds = excluded.declared_seconds,
        declared_burst = excluded.declared_burst,
        declared_at = excluded.declared_at
    where (held.fields, held.aliases, held.declared_most, held.declared_seconds, held.declared_burst)
        is distinct from
        (excluded.fields, excluded.aliases, excluded.declared_most, excluded.declared_seconds, excluded.declared_burst);
end
$declare_limits$;

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
    if former.scope is not null then
        return next former;
    end if;
end
$put$;

-- Has what is declared hold again, and returns what was said in its place.
create function taskq.end_limit(scope text, name text, kind text) returns setof taskq.limits
language plpgsql
rows 2
as $end$
begin
    perform pg_advisory_xact_lock(hashtextextended('taskq limits taskq', 0));
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

create function taskq.reset_limits(scope text, name text) returns setof taskq.limits
language sql
rows 2
as $reset$
select * from taskq.end_limit(scope, name, null)
$reset$;

insert into taskq.migration (version, name, oldest_binary)
values (11, 'limits', 2);

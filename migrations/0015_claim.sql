-- Claims tasks within the limits that bind them.

-- Returns the next key of a lane, how many of its tasks may start by the limits of the key, when one may if none may now,
-- and how many of them are due: no more than may start, and than are wanted. Where there are many, they are not counted to
-- the end: then a claim may bring less than it asked for, and the next goes on behind this key.
--
-- Here and in taskq.claim_limited `between` says again what `=` has said: Postgres takes that for rare whatever it believes
-- of the keys. Without it Postgres goes through the whole lane for one key where its statistics are of one and there are
-- fifty.
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

-- Returns how many tasks of a key start in its turn, where keys have fair turns: see 0018_fair.sql. A claim within limits
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

-- Claims that regard no keys, where a type is limited by key: two at once, and each takes no more than a quarter of what one
-- key may, while no more than half of it runs of all keys. So no key has more than it may, whatever the two have not seen of
-- each other. While a claim counts what runs of a key, there is none.
create function taskq.lock_beside(of_name text) returns boolean
language sql
return pg_try_advisory_xact_lock(taskq.gate_lock('beside', of_name, '1'))
    or pg_try_advisory_xact_lock(taskq.gate_lock('beside', of_name, '2'));

create function taskq.lock_alone(of_name text) returns boolean
language sql
return pg_try_advisory_xact_lock_shared(taskq.gate_lock('beside', of_name, '1'))
    and pg_try_advisory_xact_lock_shared(taskq.gate_lock('beside', of_name, '2'));

-- Tells whether no more runs of a type than half of what each of its keys may, and no key is held. Whoever calls has a lock.
-- Not in plain SQL: that would be planned at each claim.
create function taskq.is_far_below(names text[], most integer, is_settled boolean, is_old boolean) returns boolean
language plpgsql
as $is_far_below$
declare
    runs bigint;
    others bigint := 0;
begin
    if exists (
        select
        from taskq.gate
        where gate.scope = 'key'
          and gate.name = names[1]
          and gate.held_until > now()
    ) then
        return false;
    end if;
    if not is_settled then
        select count(*) into others from taskq.running_unsettled(names, null);
        if others = 0 and is_old then
            perform taskq.settle('key', names[1]);
        end if;
    end if;
    select coalesce(sum(cardinality(held.task_ids) - cardinality(held.done)), 0)
    into runs
    from (
        select lease.task_ids, lease.done
        from taskq.lease
        where lease.limited_type = names[1]
        -- In each of them something runs.
        limit most
    ) as held;
    return runs + others <= most / 2;
end
$is_far_below$;

-- Returns the keys of the tasks of a type that run and were claimed without regard to keys.
create function taskq.running_beside(of_name text, fields text[]) returns text[]
language plpgsql
as $running_beside$
begin
    return array(
        select taskq.limit_key(task.payload, fields)
        from taskq.lease
        cross join lateral taskq.left_in(lease) as task
        where lease.limited_type = of_name
          and lease.limited_key is null
    );
end
$running_beside$;

-- A row that a claim within limits returns: a lease, and then, of no lease, what else it tells. One variable of this type is
-- returned much faster than a variable for each array.
create type taskq.claimed as (
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
);

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
) returns setof taskq.claimed
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
    claimed taskq.claimed;
    -- The last row.
    told taskq.claimed;
    gate record;
    whole record;
    rule record;
    free bigint;
    opens_at timestamptz;
    rated text[] := '{}';
    -- Of a sequence: the last id up to which all waiting tasks have their keys; null where all have.
    keyed_to bigint;
    unsettled text[];
    -- Whether this claim regards no keys, since all of them have room.
    is_beside boolean := false;
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
    told.is_end := true;
    told.is_busy := false;
    -- It stays so unless keys are looked at.
    told.last_key := from_key;

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
            told.is_busy := true;
            return next told;
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
        told.opens_in := extract(epoch from opens_at - now());
        return next told;
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
        told.is_busy := true;
        return next told;
        return;
    end if;

    -- Where all that runs of the type leaves room for more than this claim, whatever its keys are, nobody looks at them: a
    -- claim at the head of the lane costs less than one of a key.
    if rule.fields is not null and not rule.is_sequence and not rule.is_fair and rule.spacing is null then
        if freed_keys is null and most <= rule.most / 4 then
            is_beside := taskq.lock_beside(names[1]);
            if not is_beside then
                told.is_busy := true;
                return next told;
                return;
            end if;
            is_beside := taskq.is_far_below(names, rule.most, rule.is_settled, rule.is_old);
        end if;
        if is_beside then
            rule.fields := null;
            told.last_key := null;
        elsif not taskq.lock_alone(names[1]) then
            told.is_busy := true;
            return next told;
            return;
        end if;
    end if;

    if rule.fields is not null then
        if rule.has_keyless then
            perform taskq.give_missing_keys(names[1]);
        end if;
        -- A transaction older than the limit may have added some without a key. To look for them at each claim would be to walk
        -- over all that has died at the head of the lane.
        if from_key is null and freed_keys is null and (
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
            perform taskq.give_lane_keys(
                of_queue,
                of_type,
                of_version,
                of_crashes,
                of_priority,
                rule.fields,
                rule.is_sequence
            );
        end if;
        if not rule.is_settled then
            unsettled := array(select taskq.running_unsettled(names, rule.fields));
            if cardinality(unsettled) = 0 and rule.is_old then
                perform taskq.settle('key', names[1]);
            end if;
        end if;
        unsettled := unsettled || taskq.running_beside(names[1], rule.fields);

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
                -- The key behind which it looks.
                select
                    coalesce(from_key, '') as key,
                    0::bigint as room,
                    null::timestamptz as opens_at,
                    0::bigint as due,
                    0 as place,
                    0::bigint as total
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
                array_agg(visited.key order by visited.place) filter (where visited.place > 0),
                array_agg(visited.due order by visited.place) filter (where visited.place > 0),
                min(visited.opens_at) filter (where visited.room <= 0 and visited.opens_at > now()),
                max(visited.place) < keys_looked_at and max(visited.total) < most
            into looked, rooms, opens_at, told.is_end
            from visited;
        else
            -- The next keys of the lane, and how many of each may start, until there is enough for this claim. Where keys have
            -- fair turns, so much of each.
            with recursive visited as (
                -- The key behind which it looks.
                select
                    coalesce(from_key, '') as key,
                    0::bigint as room,
                    null::timestamptz as opens_at,
                    0::bigint as due,
                    0::bigint as turn,
                    0 as place,
                    0::bigint as total
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
                array_agg(visited.key order by visited.place) filter (where visited.place > 0),
                array_agg(visited.due order by visited.place) filter (where visited.place > 0),
                array_agg(visited.turn order by visited.place) filter (where visited.place > 0),
                min(visited.opens_at) filter (where visited.room <= 0 and visited.opens_at > now()),
                max(visited.place) < keys_looked_at and max(visited.total) < most
            into looked, rooms, turns, opens_at, told.is_end
            from visited;
            if rule.is_fair and looked is not null then
                -- Where all keys were looked at, they share what one turn of each leaves.
                select shared.given, shared.ended_at, shared.is_cut
                into rooms, ended_at, is_cut
                from taskq.rooms_in_turns(names[1], looked, rooms, turns, most, told.is_end and from_key is null) as shared;
            end if;
        end if;
        told.last_key := looked[cardinality(looked)];

        -- Those of them that nobody else claims from.
        if (select count(*) from unnest(rooms) as room where room > 0) > keys_at_once then
            told.is_end := false;
            told.last_key := (
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
        into keys, told.is_busy
        from tried;
    end if;

    for claimed in
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
                select task.ctid as place
                from taskq.task
                where rule.fields is null
                  and cardinality(shares) = 1
                  and task.queue = of_queue
                  and task.task_type = of_type
                  and task.payload_version = of_version
                  and task.crashes = of_crashes
                  and task.priority = of_priority
                  and (task.run_at, task.task_id) > (coalesce(from_run_ats[1], '-infinity'), from_task_ids[1])
                  and task.run_at <= now()
                  and (not takes_turns or taskq.may_start(task.task_id, task.task_type, task.metadata -> 'task.again'))
                order by task.run_at, task.task_id
                limit least(shares[1], most)
                for update skip locked
            ) as head
            union all
            select head.place
            from (
                -- Of several places: what two of them find is one, and the first ones are the first.
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
              and cardinality(shares) > 1
            limit most
        ),
        batch as (
            delete from taskq.task
            where ctid = any (array(select due.place from due))
            returning
                task.*,
                case when is_apart or of_crashes > 0 then gen_random_uuid() end as own_lease_id
        ),
        -- A lease for each key, before its door is looked for: that would be done for each task.
        of_key as (
            select
                batch.own_lease_id,
                case when rule.fields is not null then batch.key end as key,
                array_agg(batch.task_id) as task_ids,
                array_agg(batch.task_type) as task_types,
                array_agg(batch.payload_version) as payload_versions,
                array_agg(batch.payload) as payloads,
                array_agg(batch.priority) as priorities,
                array_agg(batch.run_at) as run_ats,
                array_agg(batch.created_at) as created_ats,
                array_agg(batch.max_attempts) as max_attempts,
                array_agg(batch.attempts) as attempts,
                array_agg(batch.crashes) as crashes,
                array_agg(batch.errors) as errors,
                case when count(batch.metadata) > 0 then array_agg(batch.metadata) end as metadatas
            from batch
            group by 1, 2
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
            coalesce(of_key.own_lease_id, door.lease_id),
            of_worker,
            of_queue,
            now() + make_interval(secs => lease_seconds),
            of_key.task_ids,
            of_key.task_types,
            of_key.payload_versions,
            of_key.payloads,
            of_key.priorities,
            of_key.run_ats,
            of_key.created_ats,
            of_key.max_attempts,
            of_key.attempts,
            of_key.crashes,
            of_key.errors,
            of_key.metadatas,
            names[1],
            door.key
        from of_key
        join door on door.key is not distinct from of_key.key
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
        taken := taken + cardinality(claimed.task_ids);
        taken_keys := taken_keys || claimed.limited_key;
        taken_counts := taken_counts || cardinality(claimed.task_ids)::bigint;
        return next claimed;
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
    if taken >= most and rule.fields is not null then
        -- There may be more keys between the last that gave something and the last that was looked at.
        told.last_key := (select given.key from unnest(taken_keys) as given (key) order by given.key desc limit 1);
        told.is_end := false;
        if ended_at is not null then
            -- A key that has not had all of its turn goes on with it.
            told.last_key := case when is_cut then coalesce(looked[ended_at - 1], from_key) else looked[ended_at] end;
        end if;
    elsif taken > 0 and ended_at is not null and told.is_end and from_key is not null then
        -- The round goes on with the first key.
        told.last_key := null;
        told.is_end := false;
    end if;
    told.opens_in := case
        -- What has started now may have used a rate up: the next claim tells until when.
        when taken > 0 and (rated <> '{}' or rule.spacing is not null) then 0
        else extract(epoch from opens_at - now())
    end;
    return next told;
end
$claim_limited$;

insert into taskq.migration (version, name, oldest_binary)
values (15, 'claim', 2);

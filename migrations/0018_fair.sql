-- Has the keys of a task type take turns: of a type that says `fair = tenant_id` a claim takes of each key as many tasks as
-- its weight is, then of the next one, and so on round the keys that have something due.

-- 'fair' is a kind of taskq.limit_rule: what a program declares, which of two versions holds, how tasks get their keys, and
-- how workers hear of it is as with limits by key. It bounds nothing.

-- How many turns a key has where others have one: an operator's word. A key without a row has a weight of 1.
create table taskq.fair_weight (
    -- The name by which the type is declared.
    task_type text        not null,
    key       text        not null collate "C",
    -- The fields that make the key, as they were said.
    fields    jsonb       not null,
    weight    integer     not null,
    said_at   timestamptz not null default now(),
    by        text        not null,
    reason    text,
    constraint fair_weight_pkey primary key (task_type, key),
    constraint fair_weight_range check (weight between 1 and 1000),
    constraint fair_weight_fields check (jsonb_typeof(fields) = 'object'),
    constraint fair_weight_by_length check (octet_length(by) between 1 and 200),
    constraint fair_weight_reason_length check (octet_length(reason) <= 10000)
);

-- Every worker reads it in its claims, whatever its role is.
grant select on taskq.fair_weight to public;

-- Says the weight of a key of a task type, or without `weight` that it is 1 as that of others, and returns what was said
-- before, if something was. Claims that begin later keep to it.
create function taskq.set_weight(
    task_type text,
    fields jsonb,
    weight integer,
    reason text default null,
    by text default session_user
) returns setof taskq.fair_weight
language plpgsql
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $set_weight$
declare
    former taskq.fair_weight;
    of_key text;
    rule_fields text[] := (
        select limit_rule.fields
        from taskq.limit_rule
        where limit_rule.scope = 'key'
          and limit_rule.name = set_weight.task_type
          and limit_rule.kind = 'fair'
    );
    unknown text;
    problem text := case
        when rule_fields is null then format(
            'the task type "%s" has no fair turns, so its keys have no weights: its program says of which field a key is made, by `fair = tenant_id`',
            set_weight.task_type
        )
        when jsonb_typeof(set_weight.fields) is distinct from 'object' then format(
            'a key is said by its fields, as in {"%s": 7}',
            rule_fields[1]
        )
        when set_weight.weight not between 1 and 1000
            then 'a weight is 1 to 1000: for nothing of a key to start, cancel its tasks or hold its key by a limit'
    end;
begin
    perform taskq.require_said(set_weight.reason, set_weight.by);
    if problem is null then
        select format(
            'the keys of "%s" are made of %s, and not of "%s"',
            set_weight.task_type,
            array_to_string(rule_fields, ', '),
            given.field
        )
        into problem
        from jsonb_object_keys(set_weight.fields) as given (field)
        where given.field <> all (rule_fields)
        limit 1;
    end if;
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    of_key := taskq.limit_key(set_weight.fields, rule_fields);
    delete from taskq.fair_weight as held
    where held.task_type = set_weight.task_type
      and held.key = of_key
    returning held.*
    into former;
    if set_weight.weight is not null then
        insert into taskq.fair_weight as held (task_type, key, fields, weight, by, reason)
        values (
            set_weight.task_type,
            of_key,
            set_weight.fields,
            set_weight.weight,
            coalesce(set_weight.by, session_user),
            set_weight.reason
        )
        -- Somebody else has said one meanwhile.
        on conflict on constraint fair_weight_pkey do update
        set fields = excluded.fields,
            weight = excluded.weight,
            said_at = excluded.said_at,
            by = excluded.by,
            reason = excluded.reason;
    end if;
    perform taskq.write_down(
        'weight',
        'key',
        set_weight.fields::text,
        coalesce(set_weight.weight::text, 'reset'),
        set_weight.reason,
        set_weight.by,
        task_type => set_weight.task_type
    );
    if former.task_type is not null then
        return next former;
    end if;
end
$set_weight$;

revoke execute on function taskq.set_weight(text, jsonb, integer, text, text) from public;

-- Returns the first key of a lane behind one key and before another, whether something of it is due, and its weight.
create function taskq.next_fair_key(
    of_queue text,
    of_type text,
    of_version smallint,
    of_crashes integer,
    of_priority smallint,
    of_name text,
    behind text,
    below text
) returns table (key text, is_due boolean, weight bigint)
language sql
stable
rows 1
as $next_fair_key$
    select
        next.key,
        next.run_at <= now(),
        coalesce(
            (
                select said.weight
                from taskq.fair_weight as said
                where said.task_type = of_name
                  and said.key = next.key
            ),
            1
        )::bigint
    from (
        select task.key, task.run_at
        from taskq.task
        where task.queue = of_queue
          and task.task_type = of_type
          and task.payload_version = of_version
          and task.crashes = of_crashes
          and task.priority = of_priority
          and task.key > behind
          and task.key < below
        order by task.key, task.run_at, task.task_id
        limit 1
    ) as next
    -- Or the weight would be looked up at each use.
    offset 0
$next_fair_key$;

-- Claims due tasks of one lane whose keys take turns, and returns a row for each lease. The last row is of no lease: it says
-- at which key the claim ended, how many tasks of its turn that key has had, and whether it went round all keys; the rows of
-- leases say whether no key has more.
--
-- A turn of a key is as many tasks as its weight. The turns of all keys that have something due, in the order of the keys,
-- make a round, and rounds follow each other; the claim is the next so many tasks of that. A key without a due task has no
-- turn, so absence earns nothing. What a key does not have of its turns is divided among those that have more.
--
-- A claim looks at about as many keys as it takes tasks: those behind it come with the next one.
create function taskq.claim_fair(
    of_lease uuid,
    of_worker uuid,
    lease_seconds double precision,
    of_queue text,
    -- All names of the type, first the one by which it is declared, and the name in the lane.
    names text[],
    of_type text,
    of_version smallint,
    of_crashes integer,
    of_priority smallint,
    most bigint,
    -- The key at which the last claim ended, and how many tasks of its turn it had.
    from_key text,
    from_used bigint,
    -- Whether each task has a lease of its own.
    is_apart boolean,
    -- Whether to look for tasks without a key.
    looks_for_keyless boolean,
    -- Whether to take nothing, and tell the place of the first task that would be taken of the last key.
    only_looks boolean
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
    last_key text,
    last_used bigint,
    is_end boolean
)
language plpgsql
set enable_seqscan = off
set jit = off
-- Before the first analyze Postgres expects few tasks, and would sort a whole lane to find the next key of it.
set enable_sort = off
-- Nor does it know how many keys there are. So `between` says again what `=` has said: Postgres takes that for rare whatever
-- it believes of the keys, and goes by the index of keys instead of through the lane.
set enable_nestloop = off
-- Making plans for the values at hand would be half of a claim of few tasks.
set plan_cache_mode = force_generic_plan
as $claim_fair$
#variable_conflict use_column
declare
    -- Of keys that have nothing due so many more are looked at than tasks are taken.
    keys_looked_at constant bigint := least(most, 1500) + 500;
    rule record;
    is_whole boolean := true;
    looked bigint := 0;
    -- The keys that have a turn, in their order, and how much of the first turn is over.
    keys text[] := '{}';
    weights bigint[] := '{}';
    used bigint := 0;
    total bigint := 0;
    wanted bigint;
    lap record;
    visited record;
begin
    select limit_rule.fields, limit_rule.keyless_to is not null as has_keyless
    into rule
    from taskq.limit_rule
    where limit_rule.scope = 'key'
      and limit_rule.name = names[1]
      and limit_rule.kind = 'fair';
    if rule.has_keyless then
        perform taskq.give_missing_keys(names[1]);
    end if;
    -- A transaction older than the first fair worker may have added some without a key.
    if looks_for_keyless and rule.fields is not null and (
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
        perform taskq.give_lane_keys(of_queue, of_type, of_version, of_crashes, of_priority, rule.fields, false);
    end if;

    -- The key at which the last claim ended may have a part of its turn left.
    if from_key is not null and (
        select task.run_at <= now()
        from taskq.task
        where task.queue = of_queue
          and task.task_type = of_type
          and task.payload_version = of_version
          and task.crashes = of_crashes
          and task.priority = of_priority
          and task.key = from_key
          and task.key between from_key and from_key
        order by task.key, task.run_at, task.task_id
        limit 1
    ) then
        keys := array[from_key];
        weights := array[
            coalesce(
                (
                    select said.weight
                    from taskq.fair_weight as said
                    where said.task_type = names[1]
                      and said.key = from_key
                ),
                1
            )::bigint
        ];
        used := least(from_used, weights[1]);
        total := weights[1] - used;
    end if;
    -- The next keys, until they have enough turns: those behind it, then round from the first one on. Every key begins with
    -- a character before the last.
    for lap in
        select given.behind, given.below
        from (values (1, coalesce(from_key, ''), '~'), (2, '', from_key)) as given (number, behind, below)
        where given.below is not null
        order by given.number
    loop
        if total >= most or looked >= keys_looked_at then
            is_whole := false;
            exit;
        end if;
        with recursive visited as (
            -- The place behind which it looks.
            select lap.behind as key, false as is_due, 0::bigint as weight, looked as place, total
            union all
            select
                next.*,
                visited.place + 1,
                visited.total + case when next.is_due then next.weight else 0 end
            from visited
            cross join lateral taskq.next_fair_key(
                of_queue,
                of_type,
                of_version,
                of_crashes,
                of_priority,
                names[1],
                visited.key,
                lap.below
            ) as next
            where visited.place < keys_looked_at
              and visited.total < most
        )
        select
            array_agg(visited.key order by visited.place) filter (where visited.is_due) as keys,
            array_agg(visited.weight order by visited.place) filter (where visited.is_due) as weights,
            max(visited.place) as looked,
            max(visited.total) as total,
            (array_agg(visited.key order by visited.place desc) filter (where visited.place > looked))[1] as last_key
        into visited
        from visited;
        keys := keys || visited.keys;
        weights := weights || visited.weights;
        looked := visited.looked;
        total := visited.total;
        last_key := coalesce(visited.last_key, last_key);
        is_whole := looked < keys_looked_at and total < most;
        exit when not is_whole;
    end loop;
    is_end := is_whole;
    if total = 0 and not is_whole or keys = '{}' then
        -- Nothing of the keys that were looked at is due: the next claim goes on behind them.
        last_key := coalesce(last_key, from_key);
        last_used := 9223372036854775807;
        return next;
        return;
    end if;
    wanted := case when is_whole then most else least(most, total) end;
    select given.key, given.last - given.before
    into last_key, last_used
    from (
        select
            pair.key,
            pair.weight,
            sum(pair.weight) over (order by pair.place)::bigint - pair.weight as before,
            (used + wanted - 1) % sum(pair.weight) over ()::bigint + 1 as last
        from unnest(keys, weights) with ordinality as pair (key, weight, place)
    ) as given
    where given.before < given.last
      and given.last <= given.before + given.weight;
    if only_looks then
        select array[task.run_at], array[task.task_id]
        into run_ats, task_ids
        from taskq.task
        where task.queue = of_queue
          and task.task_type = of_type
          and task.payload_version = of_version
          and task.crashes = of_crashes
          and task.priority = of_priority
          and task.key = last_key
          and task.key between last_key and last_key
        order by task.key, task.run_at, task.task_id
        limit 1;
        return next;
        return;
    end if;

    if cardinality(keys) = 1 then
        -- As other claims do it, which costs half of what turns cost.
        return query
        with due as materialized (
            select task.ctid as row_id
            from taskq.task
            where task.queue = of_queue
              and task.task_type = of_type
              and task.payload_version = of_version
              and task.crashes = of_crashes
              and task.priority = of_priority
              and task.key = keys[1]
              and task.key between keys[1] and keys[1]
              and task.run_at <= now()
            order by task.key, task.run_at, task.task_id
            limit wanted
            for update skip locked
        ),
        batch as (
            delete from taskq.task
            where ctid = any (array(select due.row_id from due))
            returning
                task.*,
                case when is_apart or of_crashes > 0 then gen_random_uuid() else of_lease end as lease_id
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
            metadatas
        )
        select
            batch.lease_id,
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
            case when count(batch.metadata) > 0 then array_agg(batch.metadata) end
        from (select * from batch order by batch.run_at, batch.task_id) as batch
        group by batch.lease_id
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
            null::text,
            null::bigint,
            is_whole;
        return next;
        return;
    end if;

    return query
        with turn as materialized (
            select
                given.key,
                given.place,
                given.weight,
                case when given.place = 1 then used else 0 end as used,
                -- How many of the next so many tasks are of this key: those up to the end less those before the begin.
                (used + wanted) / given.round * given.weight
                    + least(greatest((used + wanted) % given.round - given.before, 0), given.weight)
                    - least(greatest(used - given.before, 0), given.weight) as quota
            from (
                select
                    pair.*,
                    sum(pair.weight) over (order by pair.place)::bigint - pair.weight as before,
                    sum(pair.weight) over ()::bigint as round
                from unnest(keys, weights) with ordinality as pair (key, weight, place)
            ) as given
        ),
        first as materialized (
            select turn.place, turn.weight, turn.used, turn.quota, head.*
            from turn
            cross join lateral (
                select head.*, row_number() over () as number
                from (
                    select task.ctid as row_id, task.run_at, task.task_id
                    from taskq.task
                    where task.queue = of_queue
                      and task.task_type = of_type
                      and task.payload_version = of_version
                      and task.crashes = of_crashes
                      and task.priority = of_priority
                      and task.key = turn.key
                      and task.key between turn.key and turn.key
                      and task.run_at <= now()
                    -- By the key too, or it might go through the whole lane for this one.
                    order by task.key, task.run_at, task.task_id
                    limit turn.quota
                    for update skip locked
                ) as head
            ) as head
        ),
        -- What is missing, divided among the keys that had all of their turns.
        missing as materialized (
            select
                lacking.place,
                lacking.key,
                lacking.weight,
                lacking.used,
                lacking.run_at,
                lacking.task_id,
                lacking.quota as number,
                (lacking.number * lacking.upto + lacking.round - 1) / lacking.round
                    - (lacking.number * (lacking.upto - lacking.weight) + lacking.round - 1) / lacking.round as quota
            from (
                select
                    turn.*,
                    last.run_at,
                    last.task_id,
                    wanted - (select count(*) from first) as number,
                    sum(turn.weight) over (order by turn.place)::bigint as upto,
                    sum(turn.weight) over ()::bigint as round
                from turn
                left join first as last
                  on last.place = turn.place
                 and last.number = turn.quota
                where is_whole
                  and (turn.quota = 0 or last.number is not null)
            ) as lacking
            where lacking.number > 0
        ),
        further as materialized (
            select missing.place, missing.weight, missing.used, head.*
            from missing
            cross join lateral (
                select head.*, missing.number + row_number() over () as number
                from (
                    select task.ctid as row_id, task.run_at, task.task_id
                    from taskq.task
                    where task.queue = of_queue
                      and task.task_type = of_type
                      and task.payload_version = of_version
                      and task.crashes = of_crashes
                      and task.priority = of_priority
                      and task.key = missing.key
                      and task.key between missing.key and missing.key
                      and task.run_at <= now()
                      and (task.run_at, task.task_id)
                        > (coalesce(missing.run_at, '-infinity'), coalesce(missing.task_id, 0))
                    order by task.key, task.run_at, task.task_id
                    limit missing.quota
                    for update skip locked
                ) as head
            ) as head
        ),
        taken as materialized (
            select
                found.row_id,
                row_number() over (
                    order by (found.used + found.number - 1) / found.weight, found.place, found.number
                ) as turn
            from (
                select place, weight, used, number, row_id from first
                union all
                select place, weight, used, number, row_id from further
            ) as found
        ),
        batch as (
            delete from taskq.task
            where ctid = any (array(select taken.row_id from taken))
            returning
                task.ctid as row_id,
                task.*,
                case when is_apart or of_crashes > 0 then gen_random_uuid() else of_lease end as lease_id
        ),
        -- In the order of their turns, in which the handlers start.
        sorted as materialized (
            select batch.*, taken.turn
            from batch
            join taken using (row_id)
            order by taken.turn
        ),
        made as (
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
                metadatas
            )
            select
                sorted.lease_id,
                of_worker,
                of_queue,
                now() + make_interval(secs => lease_seconds),
                array_agg(sorted.task_id),
                array_agg(sorted.task_type),
                array_agg(sorted.payload_version),
                array_agg(sorted.payload),
                array_agg(sorted.priority),
                array_agg(sorted.run_at),
                array_agg(sorted.created_at),
                array_agg(sorted.max_attempts),
                array_agg(sorted.attempts),
                array_agg(sorted.crashes),
                array_agg(sorted.errors),
                case when count(sorted.metadata) > 0 then array_agg(sorted.metadata) end
            from sorted
            group by sorted.lease_id
            returning made.*
        )
        select
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
            null::text,
            null::bigint,
            -- A key that had all that was missing may have more.
            is_whole and not exists (
                select
                from missing
                left join (select further.place, count(*) as number from further group by further.place) as one using (place)
                where coalesce(one.number, 0) = missing.quota
            )
        from made
        join (
            select sorted.lease_id, min(sorted.turn) as turn
            from sorted
            group by sorted.lease_id
        ) as begun using (lease_id)
        order by begun.turn;
    return next;
end
$claim_fair$;

insert into taskq.migration (version, name, oldest_binary)
values (18, 'fair', 2);

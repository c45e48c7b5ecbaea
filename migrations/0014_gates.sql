-- Says how many tasks of a scope may start now: by what runs of it, by its rate, and by what handlers have said.

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

-- Has nothing start for a while of the key of a task in a lease, or of its type where that is not limited by key. Returns
-- what is held, or null where the type has no limit that claims would look at.
create function taskq.hold_key(of_lease uuid, of_task bigint, seconds double precision) returns text
language sql
as $hold_key$
    with held as (
        insert into taskq.gate as held (scope, name, key, held_until)
        select
            limited.scope,
            lease.limited_type,
            coalesce(of_key.key, ''),
            now() + make_interval(secs => seconds)
        from taskq.lease
        cross join lateral (
            -- Claimed without regard to keys, a task has one all the same.
            select coalesce(
                lease.limited_key,
                (
                    select taskq.limit_key(task.payload, limits.fields)
                    from taskq.left_in(lease) as task
                    join taskq.limits on limits.scope = 'key' and limits.name = lease.limited_type
                    where task.task_id = of_task
                    limit 1
                )
            ) as key
        ) as of_key
        cross join lateral (select case when of_key.key is null then 'task_type' else 'key' end as scope) as limited
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

insert into taskq.migration (version, name, oldest_binary)
values (14, 'gates', 2);

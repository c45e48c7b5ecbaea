-- Takes the members of an operation in parts, and does to them what it says.

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
                nullif(gone.metadata - array['task.expires', 'task.gives_up', 'task.snoozes', 'task.discard', 'task.batch'], '{}')
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
    insert into taskq.bulk_retried (bulk_id, task_ids)
    select part.bulk_id, taken
    where doing.verb = 'retry'
      and taken <> '{}'
      and doing.done < 10000;
    if doing.verb = 'discard' and exists (select from taskq.bulk_retried) then
        insert into taskq.bulk_retried (bulk_id, task_ids)
        select part.bulk_id, array_agg(one)
        from unnest(taken) as one
        where one in (select unnest(bulk_retried.task_ids) from taskq.bulk_retried)
        having count(*) > 0;
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

revoke execute on function taskq.step_bulk from public;
revoke execute on function taskq.do_bulk from public;
revoke execute on function taskq.discard_completed from public;

insert into taskq.migration (version, name, oldest_binary)
values (24, 'parts', 2);

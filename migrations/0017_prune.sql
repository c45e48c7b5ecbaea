-- Lets operators delete all completed tasks that match and were kept, as they delete dead ones: `discard` with
-- `state:completed` in its filter.

-- Returns the filter with the states at which a verb is aimed where it says none. Fails where the verb cannot be done there.
create or replace function taskq.aim(verb text, filter jsonb) returns jsonb
language plpgsql
immutable
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
create or replace function taskq.step_bulk(bulk_id bigint) returns setof taskq.bulk
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

revoke execute on function taskq.discard_completed from public;

insert into taskq.migration (version, name, oldest_binary)
select 17, 'prune', max(oldest_binary) from taskq.migration;

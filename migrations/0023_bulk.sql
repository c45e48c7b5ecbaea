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
    -- What its members had died of, where the filter says of which cause: the type and the error of the newest of each, and of
    -- three causes at most. The tasks are gone when somebody asks.
    died_of    text,
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

-- Which tasks were retried: about the first ten thousand, for a week. So it can be said what has become of them. An operation
-- that discards writes down here which of those it has deleted.
create table taskq.bulk_retried (
    bulk_id    bigint   not null,
    retried_id bigint   not null generated always as identity,
    task_ids   bigint[] not null,
    constraint bulk_retried_pkey primary key (bulk_id, retried_id)
);

-- Returns a number of tasks with its noun.
create function taskq.tasks_in_words(number bigint) returns text
language sql
immutable
return number || case number when 1 then ' task' else ' tasks' end;

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
            aimed := taskq.filter_states(taskq.of_died('{}'));
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
    delete from taskq.bulk_retried
    using taskq.bulk
    where bulk.bulk_id = bulk_retried.bulk_id
      and bulk.ended_at < now() - interval '7 days';
    insert into taskq.bulk (verb, filter, said, died_of, run_at, reason, by)
    values (
        freeze_bulk.verb,
        aimed,
        freeze_bulk.said,
        (
            select string_agg(format('%s: %s', newest.task_type, newest.error), '; ' order by wanted.place)
            from jsonb_array_elements_text(aimed -> 'cause') with ordinality as wanted (cause, place)
            cross join lateral (
                select
                    dead.task_type,
                    left(regexp_replace(coalesce(dead.errors -> -1 ->> 'error', 'no error'), '\s+', ' ', 'g'), 240) as error
                from taskq.dead
                where dead.cause = wanted.cause
                order by dead.finished_at desc
                limit 1
            ) as newest
            where wanted.place <= 3
        ),
        freeze_bulk.run_at,
        freeze_bulk.reason,
        coalesce(freeze_bulk.by, session_user)
    )
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
-- audit; without `by` that is who froze it. A reason that is given where it begins takes the place of the one with which it was
-- frozen.
create function taskq.begin_bulk(
    bulk_id bigint,
    by text default null,
    reason text default null
) returns setof taskq.bulk
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
    perform taskq.require_said(begin_bulk.reason, begin_bulk.by);
    if was.began_at is null or was.stopped_at is not null then
        insert into taskq.audit (by, verb, state, reason, bulk_id)
        values (
            coalesce(begin_bulk.by, (was).by),
            was.verb,
            case when was.stopped_at is not null then 'stopped' end,
            coalesce(begin_bulk.reason, was.reason),
            was.bulk_id
        );
    end if;
    return query
    update taskq.bulk
    set began_at = coalesce(bulk.began_at, now()),
        stopped_at = null,
        reason = case when bulk.began_at is null then coalesce(begin_bulk.reason, bulk.reason) else bulk.reason end
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
declare
    dropped taskq.bulk;
begin
    perform taskq.require_said(drop_bulk.reason, drop_bulk.by);
    delete from taskq.bulk
    where bulk.bulk_id = drop_bulk.bulk_id
      and bulk.began_at is null
    returning bulk.*
    into dropped;
    if not found then
        return false;
    end if;
    insert into taskq.audit (by, verb, state, reason, bulk_id)
    values (
        coalesce(drop_bulk.by, session_user),
        'drop bulk',
        format('%s of %s: %s', (dropped).verb, taskq.tasks_in_words((dropped).frozen), coalesce((dropped).said, (dropped).filter::text)),
        drop_bulk.reason,
        drop_bulk.bulk_id
    );
    delete from taskq.bulk_part where bulk_part.bulk_id = drop_bulk.bulk_id;
    return true;
end
$drop_bulk$;

revoke execute on function taskq.freeze_bulk from public;
revoke execute on function taskq.begin_bulk from public;
revoke execute on function taskq.stop_bulk from public;
revoke execute on function taskq.drop_bulk from public;

-- Tells what has become of the tasks that an operation retried, as far as it has written them down: `followed` are so many.
-- What is nowhere any more has completed, unless an operator has deleted it since. Looks each of them up by its id, and reads
-- the leases.
create function taskq.follow_bulk(bulk_id bigint) returns table (
    followed bigint,
    waiting bigint,
    -- Those that wait after a failed attempt.
    failing bigint,
    running bigint,
    completed bigint,
    -- Those that somebody has deleted since. What is deleted by hand in the table counts as completed.
    discarded bigint,
    dead bigint,
    refused bigint
)
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $follow_bulk$
    with member as materialized (
        select distinct unnest(bulk_retried.task_ids) as task_id
        from taskq.bulk_retried
        join taskq.bulk using (bulk_id)
        where bulk_retried.bulk_id = follow_bulk.bulk_id
          and bulk.verb = 'retry'
    ),
    deleted as materialized (
        select unnest(discarded.task_ids) as task_id
        from taskq.bulk as retry
        join taskq.bulk as discard
          on discard.verb = 'discard'
         and discard.bulk_id > retry.bulk_id
        join taskq.bulk_retried as discarded on discarded.bulk_id = discard.bulk_id
        where retry.bulk_id = follow_bulk.bulk_id
        union
        select audit.task_id
        from taskq.bulk as retry
        cross join member
        join taskq.audit on audit.task_id = member.task_id
        where retry.bulk_id = follow_bulk.bulk_id
          and audit.verb = 'discard'
          and audit.at >= retry.began_at
    ),
    counted as (
        select
            (select count(*) from member) as followed,
            wait.fresh,
            wait.failing,
            (
                select count(*)
                from taskq.lease
                cross join lateral unnest(lease.task_ids) as held (task_id)
                where held.task_id in (select member.task_id from member)
                  and held.task_id <> all (lease.done)
            ) as running,
            (
                select count(*)
                from member
                join deleted using (task_id)
                -- Somebody may have enqueued another one of that id.
                where taskq.where_is(member.task_id) is null
                  and not exists (select from taskq.dead where dead.task_id = member.task_id)
                  and not exists (select from taskq.refused where refused.task_id = member.task_id)
            ) as discarded,
            (select count(*) from member join taskq.dead using (task_id)) as dead,
            (select count(*) from member join taskq.refused using (task_id)) as refused
        from (
            select
                count(*) filter (where task.attempts + task.crashes = 0) as fresh,
                count(*) filter (where task.attempts + task.crashes > 0) as failing
            from member
            join taskq.task using (task_id)
        ) as wait
    )
    select
        counted.followed,
        counted.fresh,
        counted.failing,
        counted.running,
        counted.followed - counted.fresh - counted.failing - counted.running - counted.discarded - counted.dead - counted.refused,
        counted.discarded,
        counted.dead,
        counted.refused
    from counted
$follow_bulk$;

insert into taskq.migration (version, name, oldest_binary)
values (23, 'bulk', 2);

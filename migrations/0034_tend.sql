-- Looks after groups: members that are nowhere any more, tasks of groups that were refused, and groups that ended long ago.

-- Looks after groups that are open, the one first that nobody has looked after for longest: notes which of their members
-- are nowhere any more, since somebody has deleted their rows, and enqueues what Postgres has refused before. So many groups,
-- and so many members of each, at a time. Returns how many members it found to be gone, and how many groups have ended. One at a time does it.
create function taskq.tend_groups(most_groups integer, most_members integer) returns table (gone bigint, ended bigint)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $tend_groups$
#variable_conflict use_column
declare
    of_group bigint;
    open_group taskq.task_group;
    looked record;
begin
    gone := 0;
    ended := 0;
    if not pg_try_advisory_xact_lock(hashtextextended('taskq groups taskq', 0)) then
        return next;
        return;
    end if;
    for of_group in
        select oldest.group_id
        from (
            select task_group.group_id
            from taskq.task_group
            where task_group.ended_at is null
            order by task_group.tended_at nulls first, task_group.group_id
            limit most_groups
        ) as oldest
        order by oldest.group_id
    loop
        select * into open_group from taskq.task_group where task_group.group_id = of_group;
        with member as materialized (
            select group_member.task_id, group_member.outcome
            from taskq.group_member
            where group_member.group_id = of_group
              and group_member.task_id > open_group.tended_to
            order by group_member.task_id
            limit most_members
        ),
        -- One that has left a lease may run again in another while the others of the first run still.
        running as materialized (
            select left_in.task_id
            from taskq.lease
            cross join lateral (
                select unnest(lease.task_ids)
                except
                select unnest(lease.done)
            ) as left_in (task_id)
        ),
        nowhere as materialized (
            select member.task_id
            from member
            where member.outcome is null
              and not exists (select from taskq.task where task.task_id = member.task_id)
              and not exists (select from running where running.task_id = member.task_id)
              and not exists (select from taskq.refused where refused.task_id = member.task_id)
        )
        select
            (select count(*) from member) as number,
            (select max(member.task_id) from member) as last,
            array(select nowhere.task_id from nowhere order by nowhere.task_id) as task_ids,
            array(
                select coalesce(
                    (select min(dead.state) from taskq.dead where dead.task_id = nowhere.task_id),
                    (select min('completed') from taskq.history where history.task_id = nowhere.task_id),
                    'deleted'
                )
                from nowhere
                order by nowhere.task_id
            ) as outcomes
        into looked;
        gone := gone + taskq.end_members(of_group, looked.task_ids, looked.outcomes);
        update taskq.task_group
        set tended_at = now(),
            tended_to = case when looked.number < most_members then 0 else looked.last end
        where task_group.group_id = of_group
        returning *
        into open_group;
        if open_group.sealed_at is not null and open_group.remaining = 0 and open_group.ended_at is null
            and taskq.close_group(of_group)
        then
            ended := ended + 1;
        end if;
    end loop;
    return next;
end
$tend_groups$;

-- Deletes groups that ended so many seconds ago, and whose task has gone too or is kept: so many members at the most.
-- Returns how many rows it has deleted. A group whose members live has not ended.
create function taskq.prune_groups(keep_seconds double precision, most integer) returns bigint
language sql
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    with old as materialized (
        select task_group.group_id
        from taskq.task_group
        where task_group.ended_at < now() - make_interval(secs => keep_seconds)
          and not exists (select from taskq.task where task.task_id = task_group.task_id)
          and not exists (select from taskq.lease where task_group.task_id = any (lease.task_ids))
          and not exists (select from taskq.dead where dead.task_id = task_group.task_id)
          and not exists (select from taskq.refused where refused.task_id = task_group.task_id)
        order by task_group.ended_at
        limit 100
    ),
    member as materialized (
        select group_member.ctid
        from taskq.group_member
        join old on old.group_id = group_member.group_id
        limit most
    ),
    left_members as (
        delete from taskq.group_member
        where group_member.ctid = any (array(select member.ctid from member))
        returning 1
    ),
    left_groups as (
        delete from taskq.task_group
        where task_group.group_id = any (array(select old.group_id from old))
          and (select count(*) from member) < most
        returning 1
    )
    select (select count(*) from left_members) + (select count(*) from left_groups);
end;

-- Returns what is wrong with groups: their task is refused, or somebody has not sealed them for a day.
create function taskq.ail_groups() returns setof taskq.ailment
language sql
stable
as $ail_groups$
    select
        'group',
        case when open_group.problem is null then 'warning' else 'error' end,
        open_group.group_id::text,
        case
            when open_group.problem is not null then format(
                'all members of group %s have ended, and Postgres refuses its task of type %s: %s',
                open_group.group_id,
                open_group.task_type,
                open_group.problem
            )
            else format(
                'group %s was begun %s ago and is not sealed: its task of type %s never runs, though %s of its %s members have ended',
                open_group.group_id,
                justify_hours(date_trunc('minute', now() - open_group.created_at)),
                open_group.task_type,
                open_group.members - open_group.remaining,
                open_group.members
            )
        end,
        case
            when open_group.problem is not null
                then 'take away what refuses it: workers try again each minute'
            else 'whoever added members has failed before it sealed the group: seal it if all are there'
        end,
        case when open_group.problem is null then format('seal-group %s', open_group.group_id) end,
        case when open_group.problem is null then format('select taskq.seal_group(%s, by => session_user)', open_group.group_id) end
    from (
        select *
        from taskq.task_group
        where task_group.ended_at is null
          and (
              task_group.problem is not null
              or task_group.sealed_at is null and task_group.created_at < now() - interval '1 day'
          )
        order by task_group.group_id
        limit 1000
    ) as open_group
$ail_groups$;

revoke execute on function taskq.tend_groups from public;
revoke execute on function taskq.prune_groups from public;

insert into taskq.migration (version, name, oldest_binary)
select 34, 'tend', max(oldest_binary) from taskq.migration;

-- Members of groups whose ids come again, as after a restore: a group knows its member by the id under which it is taken back.

-- Returns the group whose task a task is, by its metadata: the one that is enqueued once all members have ended.
create function taskq.closing_group_of(metadata jsonb) returns bigint
language sql
immutable
parallel safe
return case
    when metadata #>> '{group.ended,group_id}' ~ '^[0-9]{1,18}$' then (metadata #>> '{group.ended,group_id}')::bigint
end;

-- As before, but the group of what gets another id knows it by that one: as its member, or as the task that it has enqueued.
create or replace function taskq.take_back(
    task_id bigint,
    reason text default null,
    by text default session_user
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $take_back$
#variable_conflict use_column
declare
    gone taskq.refused;
    back taskq.task;
begin
    perform taskq.require_said(take_back.reason, take_back.by);
    delete from taskq.refused
    where refused.ctid = (
        select refused.ctid
        from taskq.refused
        where refused.task_id = take_back.task_id
        order by refused.refused_at
        limit 1
        for update skip locked
    )
    returning *
    into gone;
    if not found then
        return null;
    end if;
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
        attempts,
        crashes,
        errors,
        metadata
    )
    overriding system value
    values (
        case
            when exists (select from taskq.task where task.task_id = gone.task_id)
                or exists (select from taskq.dead where dead.task_id = gone.task_id)
                then nextval(pg_get_serial_sequence('taskq.task', 'task_id'))
            else gone.task_id
        end,
        gone.task_type,
        gone.payload_version,
        gone.payload,
        gone.queue,
        gone.priority,
        gone.run_at,
        gone.created_at,
        gone.max_attempts,
        gone.attempts,
        gone.crashes,
        gone.errors,
        gone.metadata
    )
    returning *
    into back;
    -- What a handler has made of the old id must not change: see `Attempt::key`.
    if back.task_id <> gone.task_id and not coalesce(gone.metadata ? 'task.first_id', false) then
        update taskq.task
        set metadata = coalesce(metadata, '{}') || jsonb_build_object('task.first_id', gone.task_id)
        where task.task_id = back.task_id;
    end if;
    if back.task_id <> gone.task_id then
        update taskq.group_member
        set task_id = back.task_id
        where group_member.group_id = taskq.group_of(gone.metadata)
          and group_member.task_id = gone.task_id;
        update taskq.task_group
        set task_id = back.task_id
        where task_group.group_id = taskq.closing_group_of(gone.metadata)
          and task_group.task_id = gone.task_id;
    end if;
    insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
    values (
        coalesce(take_back.by, session_user),
        'take back',
        back.task_id,
        back.task_type,
        back.queue,
        'refused',
        take_back.reason
    );
    return back.task_id;
-- It stays where it is, and this says what is still in its way.
exception
    when integrity_constraint_violation or raise_exception then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('Postgres still refuses task %s: %s', take_back.task_id, sqlerrm);
end
$take_back$;

-- Returns the id by which a group knows its member: now always the task's own.
create or replace function taskq.member_of(metadata jsonb, task_id bigint) returns bigint
language sql
immutable
parallel safe
return task_id;

-- What was taken back under another id before, and has not ended.
with moved as (
    select task.task_id, task.metadata from taskq.task where task.metadata ? 'task.first_id'
    union all
    select refused.task_id, refused.metadata from taskq.refused where refused.metadata ? 'task.first_id'
    union all
    select held.task_id, held.metadata
    from taskq.lease
    cross join lateral unnest(lease.task_ids, lease.metadatas) as held (task_id, metadata)
    where held.metadata ? 'task.first_id'
),
member as (
    update taskq.group_member
    set task_id = moved.task_id
    from moved
    where moved.metadata ->> 'task.first_id' ~ '^[0-9]{1,18}$'
      and group_member.group_id = taskq.group_of(moved.metadata)
      and group_member.task_id = (moved.metadata ->> 'task.first_id')::bigint
      and not exists (
          select
          from taskq.group_member as other
          where other.group_id = group_member.group_id
            and other.task_id = moved.task_id
      )
)
update taskq.task_group
set task_id = moved.task_id
from moved
where moved.metadata ->> 'task.first_id' ~ '^[0-9]{1,18}$'
  and task_group.group_id = taskq.closing_group_of(moved.metadata)
  and task_group.task_id = (moved.metadata ->> 'task.first_id')::bigint;

-- Returns the conditions of a filter $1 that an index of the place may serve, on what taskq.place_source calls `found`. As
-- before, but what has the id of a member, and is none, does not match.
create or replace function taskq.filter_near(filter jsonb, place text) returns text
language sql
immutable
return concat(
    'true',
    case when filter ? 'group' then
        ' and taskq.group_of(found.metadata) = any (array(select said::bigint from jsonb_array_elements_text($1 -> ''group'') as said))'
    end,
    case when filter ? 'cause' then
        -- The values themselves: the planner counts how many rows there are of each, and walks one in its order.
        format(
            case jsonb_array_length(filter -> 'cause')
                when 1 then ' and found.cause = (%L::text[])[1]'
                else ' and found.cause = any (%L::text[])'
            end,
            array(select jsonb_array_elements_text(filter -> 'cause'))
        )
    end,
    case when filter ? 'older' and place <> 'waiting' then
        ' and found.at <= now() - make_interval(secs => ($1 ->> ''older'')::float8)'
    end,
    case when filter ? 'newer' and place <> 'waiting' then
        ' and found.at >= now() - make_interval(secs => ($1 ->> ''newer'')::float8)'
    end
);

insert into taskq.migration (version, name, oldest_binary)
select 40, 'members', max(oldest_binary) from taskq.migration;

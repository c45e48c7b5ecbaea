-- Says where payloads stand that somebody will read yet, and has them be encrypted with another key.

-- Returns each payload that somebody will read yet, with its place and its id there. What runs is in the place lease.
create function taskq.payloads_to_read() returns table (place text, id bigint, task_type text, payload jsonb)
language sql
stable
begin atomic
    select 'task', task.task_id, task.task_type, task.payload from taskq.task
    union all
    select 'dead', dead.task_id, dead.task_type, dead.payload from taskq.dead
    union all
    select 'refused', refused.task_id, refused.task_type, refused.payload from taskq.refused
    union all
    select 'task_group', task_group.group_id, task_group.task_type, task_group.payload
    from taskq.task_group
    where task_group.ended_at is null
    union all
    select 'lease', held.task_id, held.task_type, held.payload
    from taskq.lease
    cross join lateral taskq.left_in(lease) as held;
end;

-- Writes payloads in one of these places that say the same, encrypted with another key, and returns how many were still as they
-- were found.
create function taskq.reencrypt(place text, ids bigint[], olds jsonb[], payloads jsonb[]) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $reencrypt$
declare
    written bigint;
begin
    if place is null or place not in ('task', 'dead', 'refused', 'task_group') then
        raise exception 'no payload can be encrypted anew in the place "%": there are task, dead, refused and task_group', place
            using errcode = 'invalid_parameter_value';
    end if;
    execute format(
        'with given as materialized (
             select given.id, given.old, given.payload
             from unnest($1, $2, $3) as given (id, old, payload)
             order by given.id
         )
         update taskq.%1$I
         set payload = given.payload
         from given
         where %1$I.%2$I = given.id
           and %1$I.payload = given.old',
        place,
        case place when 'task_group' then 'group_id' else 'task_id' end
    ) using ids, olds, payloads;
    get diagnostics written = row_count;
    return written;
end
$reencrypt$;

revoke execute on function taskq.reencrypt from public;

insert into taskq.migration (version, name, oldest_binary)
select 36, 'rekey', max(oldest_binary) from taskq.migration;

-- Causes: what dead tasks died of, so that five thousand of them are three lines.

-- Returns an error without what differs from task to task: ids, numbers, times. The place of a panic stays. What the state
-- says already needs no text.
create function taskq.cause_text(state text, error text) returns text
language plpgsql
immutable
parallel safe
as $cause_text$
declare
    place text;
    said text := cause_text.error;
begin
    if state = 'quarantined' then
        return 'its worker vanished';
    elsif state = 'expired' then
        return 'it did not start in time';
    end if;
    place := coalesce(substring(said from '^panicked at [^\n]+?:[0-9]+: '), '');
    said := substr(said, length(place) + 1);
    said := regexp_replace(said, '[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}', '#', 'g');
    said := regexp_replace(said, '[0-9A-Za-z_]*[0-9][0-9A-Za-z_]*', '#', 'g');
    said := regexp_replace(said, '#([-.,:/+]+#)+', '#', 'g');
    return place || left(said, 500);
end
$cause_text$;

-- Returns the id of a cause: tasks of one type and state, with errors of one text, have it in common.
create function taskq.cause_of(task_type text, state text, errors jsonb) returns text
language sql
immutable
parallel safe
return lpad(
    to_hex(
        hashtextextended(
            cause_of.task_type || E'\n' || cause_of.state || E'\n'
                || coalesce(taskq.cause_text(cause_of.state, cause_of.errors -> -1 ->> 'error'), ''),
            0
        )
    ),
    16,
    '0'
);

-- Made where a task dies, whoever writes the row: a worker of any version, a rescue, an operator.
alter table taskq.dead
    add column cause text generated always as (taskq.cause_of(task_type, state, errors)) stored;

create index dead_cause on taskq.dead (cause, finished_at, task_id);

-- Returns the statement that counts the causes of a filter $1 which is about causes, types, states and times alone. It reads
-- index dead_cause: no more than $2 entries, and two tasks of each cause. It tells of $3 causes.
create function taskq.counted_causes(filter jsonb) returns text
language sql
immutable
return format(
    'with recursive known as (
         (
             select dead.cause, 1 as position
             from taskq.dead
             order by dead.cause
             limit 1
         )
         union all
         select next.cause, known.position + 1
         from known
         cross join lateral (
             select dead.cause
             from taskq.dead
             where dead.cause > known.cause
             order by dead.cause
             limit 1
         ) as next
         where known.position <= 1000
     ),
     overflow as (
         select exists (select from known where known.position > 1000) as is_there
     ),
     -- Where there are too many, those of which the newest tasks have died.
     chosen as (
         select known.cause
         from known
         where not (select is_there from overflow)
         union all
         (
             select newest.cause
             from (select cause from taskq.dead order by finished_at desc, task_id desc limit 10000) as newest
             where (select is_there from overflow)
             group by newest.cause
             order by count(*) desc
             limit 1000
         )
     ),
     shown as materialized (
         select found.*
         from chosen
         cross join lateral (
             select *
             from (%1$s) as found
             where found.cause = chosen.cause
               and %2$s
             order by found.at desc, found.task_id desc
             limit 1
         ) as found
         where %3$s
     ),
     reach as (
         select greatest($2 / greatest(count(*), 1), 1) as counted_to
         from shown
     ),
     told as (
         select
             shown.cause,
             shown.task_type,
             shown.state,
             counted.total,
             first.at as first_at,
             shown.at as last_at,
             shown.task_id as last_task_id,
             shown.errors -> -1 ->> ''error'' as error,
             reach.counted_to
         from shown
         cross join reach
         cross join lateral (
             select count(*) as total
             from (
                 select
                 from (%1$s) as found
                 where found.cause = shown.cause
                   and %2$s
                 limit reach.counted_to
             ) as found
         ) as counted
         cross join lateral (
             select found.at
             from (%1$s) as found
             where found.cause = shown.cause
               and %2$s
             order by found.at, found.task_id
             limit 1
         ) as first
         order by counted.total desc, shown.at desc
         limit $3
     )
     select *
     from told
     union all
     select null, null, null, null, null, null, null, null, null
     from overflow
     where is_there',
    taskq.place_source(filter, 'dead'),
    taskq.filter_near(filter, 'dead'),
    taskq.filter_far(filter, 'dead')
);

-- Returns the statement that reads a tenth of $2 of the newest dead tasks, and tells of $3 causes of those that match a filter $1.
create function taskq.read_causes(filter jsonb) returns text
language sql
immutable
return format(
    'with seen as materialized (
         select *
         from (%1$s) as found
         where %2$s
         order by found.at desc, found.task_id desc
         limit greatest($2 / 10, 1)
     ),
     placed as (
         select
             found.*,
             count(*) over (partition by found.cause) as total,
             min(found.at) over (partition by found.cause) as first_at,
             row_number() over (partition by found.cause order by found.at desc, found.task_id desc) as position
         from seen as found
         where %3$s
     ),
     told as (
         select
             cause,
             task_type,
             state,
             total,
             first_at,
             at as last_at,
             task_id as last_task_id,
             errors -> -1 ->> ''error'' as error,
             null::bigint as counted_to
         from placed
         where position = 1
         order by total desc, at desc
         limit $3
     ),
     looked as (
         select count(*) as total
         from seen
     )
     select *
     from told
     union all
     select null, null, null, total, null, null, null, null, null
     from looked
     where total >= greatest($2 / 10, 1)',
    taskq.place_source(filter, 'dead'),
    taskq.filter_near(filter, 'dead'),
    taskq.filter_far(filter, 'dead')
);

-- Tells of what dead tasks that match have died: how many, since when, the last of them, and its error. Where the filter says
-- no state, these are the ones that taskq.stats counts: not those that were cancelled. Reads no more than
-- `looks` dead tasks, or entries of the index by causes. Where the filter is about causes, types, states and times alone, it
-- counts no more than `counted_to` of each cause; a number that equals it means "or more". Where the filter says more, it reads
-- a tenth as many of the newest tasks. A last row without a cause says that it stopped: there are more than 1,000 causes, or
-- there may be more tasks than the `total` that it has read.
create function taskq.causes(
    filter jsonb default '{}',
    most integer default 50,
    looks integer default 100000
) returns table (
    cause text,
    task_type text,
    state text,
    total bigint,
    first_at timestamptz,
    last_at timestamptz,
    last_task_id bigint,
    error text,
    counted_to bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off
set enable_seqscan = off
set jit = off
as $causes$
declare
    aimed constant jsonb := taskq.of_died(causes.filter);
begin
    perform taskq.check_filter(causes.filter);
    if not coalesce('dead' = any (taskq.filter_places(aimed)), false) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'only dead tasks have causes: leave the state out, or say one of dead, died, discarded, cancelled, invalid, quarantined, expired';
    end if;
    return query execute format(
        'select * from (%s) as told order by told.cause is null, told.total desc, told.last_at desc, told.cause',
        case
            when aimed ?| array['queue', 'queue_like', 'payload', 'error', 'id'] then taskq.read_causes(aimed)
            else taskq.counted_causes(aimed)
        end
    )
    using aimed, causes.looks, causes.most;
end
$causes$;

insert into taskq.migration (version, name, oldest_binary)
values (21, 'causes', 2);

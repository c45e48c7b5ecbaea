-- A day of the history that is dropped while something in it is pruned: each of its tasks is counted once.

-- As before, but it waits for whoever prunes what is kept no longer.
create or replace function taskq.prune_history_day(keep interval) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $prune_day$
declare
    kept_for double precision := taskq.history_kept_for(keep);
    day date;
    partition text;
    counts jsonb;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('taskq history taskq', 0)) then
        return null;
    end if;
    select missing.day into day
    from (
        -- Shortly before midnight the next day counts as under way.
        select ((now() + interval '10 minutes') at time zone 'UTC')::date + ahead as day
        from generate_series(1, 2) as ahead
        union
        select distinct (finished_at at time zone 'UTC')::date
        from taskq.history_default
        where finished_at < date_trunc('day', now(), 'UTC')
    ) as missing
    where to_regclass('taskq.history_' || to_char(missing.day, 'YYYYMMDD')) is null
    order by missing.day
    limit 1;
    if found then
        perform taskq.make_history_partition(day);
        return 'history_' || to_char(day, 'YYYYMMDD');
    end if;
    if kept_for = 'infinity' then
        return null;
    end if;
    select child.relname into partition
    from pg_inherits
    join pg_class as child on child.oid = inhrelid
    where inhparent = 'taskq.history'::regclass
      and child.relname ~ '^history_[0-9]{8}$'
      and (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'
        < now() - make_interval(secs => kept_for)
      and not taskq.is_day_needed(child.relname, now() - make_interval(secs => kept_for))
    order by child.relname
    limit 1;
    if found then
        -- What prune_kept deletes of it at this moment it counts too.
        perform pg_advisory_xact_lock(hashtextextended('taskq keep taskq', 0));
        -- Before the lock that others wait for.
        execute format(
            'select coalesce(jsonb_agg(counted), ''[]'')
             from (
                 select task_type, ''completed'' as outcome, count(*) as total from taskq.%I group by task_type
             ) as counted',
            partition
        ) into counts;
        execute format('drop table taskq.%I', partition);
        perform taskq.count_pruned(counts);
    end if;
    return partition;
end
$prune_day$;

insert into taskq.migration (version, name, oldest_binary)
select 39, 'prune_day', max(oldest_binary) from taskq.migration;

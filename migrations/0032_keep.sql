-- For how long finished tasks are kept, by task type and outcome: what programs declare, what operators say in its place, and
-- the functions that delete what is kept no longer.

-- What programs declare. The longest of what is declared of a type and outcome holds, so that two versions of a program do not
-- delete what the other one keeps.
create table taskq.keep_definition (
    -- Empty: the completed tasks of all types that say nothing themselves.
    task_type      text             not null,
    outcome        text             not null,
    -- Infinity: for ever. Zero: not at all.
    seconds        double precision not null,
    -- It goes on to hold where no worker of the type lives; of those that live one may no longer declare it.
    declared_until timestamptz      not null,
    constraint keep_definition_pkey primary key (task_type, outcome, seconds),
    constraint keep_definition_outcome
        check (outcome in ('completed', 'discarded', 'cancelled', 'expired', 'invalid', 'quarantined')),
    constraint keep_definition_seconds check (seconds >= 0 and seconds <> 'NaN')
);

-- What operators say in the place of what is declared.
create table taskq.keep_override (
    task_type text             not null,
    outcome   text             not null,
    seconds   double precision not null,
    by        text             not null,
    reason    text,
    said_at   timestamptz      not null default now(),
    constraint keep_override_pkey primary key (task_type, outcome),
    constraint keep_override_outcome
        check (outcome in ('completed', 'discarded', 'cancelled', 'expired', 'invalid', 'quarantined')),
    constraint keep_override_seconds check (seconds >= 0 and seconds <> 'NaN')
);

-- How far the completed tasks of a type have been deleted that are kept for less long than others. Each row of the history is
-- read once for it, and those of two days once more: who completes tasks in a transaction of his own may commit late.
create table taskq.keep_sweep (
    task_type   text             not null,
    -- With another time it begins anew.
    seconds     double precision not null,
    swept_until timestamptz      not null,
    again_at    timestamptz      not null,
    constraint keep_sweep_pkey primary key (task_type)
);

-- Completed members of groups that would have been deleted, had their groups ended then: see taskq.is_needed.
create table taskq.keep_spared (
    group_id    bigint      not null,
    finished_at timestamptz not null,
    task_id     bigint      not null,
    task_type   text        not null,
    constraint keep_spared_pkey primary key (group_id, finished_at, task_id)
);

-- How many tasks were deleted because they are kept no longer.
create table taskq.pruned (
    task_type text        not null,
    outcome   text        not null,
    total     bigint      not null,
    last_at   timestamptz not null,
    constraint pruned_pkey primary key (task_type, outcome)
);

-- Of each type and outcome the oldest dead task, for those that are kept for a time.
create index dead_kept on taskq.dead (task_type, state, finished_at, task_id);

-- What holds. Of what is not in it: dead tasks are kept for ever, and completed ones, where they are kept at all, for as long as
-- the workers say that keep some.
create view taskq.keeps as
select
    coalesce(override.task_type, declared.task_type) as task_type,
    coalesce(override.outcome, declared.outcome) as outcome,
    coalesce(override.seconds, declared.seconds) as seconds,
    override.task_type is not null as is_overridden,
    override.by,
    override.reason,
    override.said_at
from (
    select keep_definition.task_type, keep_definition.outcome, max(keep_definition.seconds) as seconds
    from taskq.keep_definition
    group by keep_definition.task_type, keep_definition.outcome
) as declared
full join taskq.keep_override as override
  on override.task_type = declared.task_type
 and override.outcome = declared.outcome;

-- Says that a living worker keeps the tasks of these types and outcomes for so many seconds.
create function taskq.declare_keep(task_types text[], outcomes text[], seconds double precision[]) returns void
language sql
security definer
set search_path = pg_catalog, pg_temp
as $declare_keep$
    insert into taskq.keep_definition as held (task_type, outcome, seconds, declared_until)
    select given.task_type, given.outcome, given.seconds, now() + interval '1 day'
    from unnest(task_types, outcomes, seconds) as given (task_type, outcome, seconds)
    order by given.task_type, given.outcome, given.seconds
    on conflict on constraint keep_definition_pkey do update
    set declared_until = excluded.declared_until
    -- Most times there is nothing to write.
    where held.declared_until < now() + interval '23 hours'
$declare_keep$;

-- Returns for how long the days of the history are kept: as long as any completed task in them.
create function taskq.history_kept_for(keep interval) returns double precision
language sql
stable
set search_path = pg_catalog, pg_temp
return (
    select greatest(
        coalesce(max(keeps.seconds) filter (where keeps.task_type = ''), extract(epoch from keep)::double precision),
        max(keeps.seconds) filter (where keeps.task_type <> '')
    )
    from taskq.keeps
    where keeps.outcome = 'completed'
);

-- Tells whether a member of a group is kept for its group: that is open, or has ended after this time. Ask it of members
-- alone. It looks into tables of 0033_groups.
create function taskq.is_needed(metadata jsonb, ended_by timestamptz) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $is_needed$
begin
    return exists (
        select
        from taskq.task_group
        where task_group.group_id = taskq.group_of(metadata)
          and (task_group.ended_at is null or task_group.ended_at > ended_by)
    );
end
$is_needed$;

-- Tells whether any group is open that was begun before the one time, or has ended after the other.
create function taskq.are_groups_open(begun_by timestamptz, ended_by timestamptz) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $are_groups_open$
begin
    return exists (
            select from taskq.task_group where task_group.ended_at is null and task_group.created_at < begun_by
        )
        or exists (
            select from taskq.task_group where task_group.ended_at > ended_by and task_group.created_at < begun_by
        );
end
$are_groups_open$;

-- Tells whether there are members in a day of the history whose groups are open, or have ended after this time.
create function taskq.is_day_needed(partition text, ended_by timestamptz) returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $is_day_needed$
declare
    is_needed boolean := false;
begin
    if taskq.are_groups_open(
        (to_date(right(partition, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC',
        ended_by
    ) then
        execute format(
            'select exists (
                 select from taskq.%I as kept where kept.metadata ? ''task.group'' and taskq.is_needed(kept.metadata, $1)
             )',
            partition
        ) into is_needed using ended_by;
    end if;
    return is_needed;
end
$is_day_needed$;

-- Counts what was deleted.
create function taskq.count_pruned(counts jsonb) returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $count_pruned$
    insert into taskq.pruned as held (task_type, outcome, total, last_at)
    select given.task_type, given.outcome, given.total, now()
    from jsonb_to_recordset(counts) as given (task_type text, outcome text, total bigint)
    where given.total > 0
    order by given.task_type, given.outcome
    on conflict on constraint pruned_pkey do update
    set total = held.total + excluded.total,
        last_at = excluded.last_at;
    select coalesce(sum(given.total), 0)::bigint
    from jsonb_to_recordset(counts) as given (total bigint)
$count_pruned$;

-- Deletes tasks that are kept no longer, of those that do not go with a whole day, and returns how many, and whether there may
-- be more. Of each time and outcome it reads or deletes so many rows at the most. Nothing goes in the minute after its end: who
-- waits for a task reads then how it ended.
--
-- One caller at a time; for the others there is nothing to do. Nobody who claims or completes waits for it: it locks the rows
-- that it deletes, and skips dead ones that others have locked.
--
-- A dead task stays as long as a sequence waits at it, and while a bulk operation has it in its list. A member of a group stays
-- until the group has ended; its time counts from then.
create function taskq.prune_kept(most bigint) returns table (pruned bigint, is_more boolean)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $prune_kept$
#variable_conflict use_column
declare
    rule record;
    seen bigint;
    gone bigint;
    since timestamptz;
    latest timestamptz;
    reached timestamptz;
    counts jsonb;
    others text[];
    has_groups boolean;
    -- Whoever says nothing of his completed tasks keeps them as long as the days.
    longest double precision := taskq.history_kept_for('0');
begin
    pruned := 0;
    is_more := false;
    if not pg_try_advisory_xact_lock(hashtextextended('taskq keep taskq', 0)) then
        return next;
        return;
    end if;
    delete from taskq.keep_definition as silent
    where silent.declared_until < now()
      and (
          exists (
              select
              from taskq.keep_definition as other
              where other.task_type = silent.task_type
                and other.outcome = silent.outcome
                and other.declared_until > now()
          )
          or exists (
              select
              from taskq.worker
              where worker.expires_at > now()
                and worker.task_types @> array[silent.task_type]
          )
      );
    others := array(select keeps.task_type from taskq.keeps where keeps.outcome = 'completed');
    -- A type of which nobody says it any more is one of the others, which were deleted without it.
    with unsaid as (
        delete from taskq.keep_sweep
        where keep_sweep.task_type <> all (others)
        returning keep_sweep.task_type
    )
    update taskq.keep_sweep
    set swept_until = '-infinity'
    where keep_sweep.task_type = ''
      and exists (select from unsaid);
    insert into taskq.keep_sweep (task_type, seconds, swept_until, again_at)
    select keeps.task_type, keeps.seconds, '-infinity', now() + interval '1 day'
    from taskq.keeps
    where keeps.outcome = 'completed'
      and not exists (select from taskq.keep_sweep as held where held.task_type = keeps.task_type);
    update taskq.keep_sweep
    set swept_until = swept_until - interval '2 days',
        again_at = now() + interval '1 day'
    where again_at < now();
    for rule in
        select
            keeps.seconds,
            array_agg(keeps.task_type order by keeps.task_type) as task_types
        from taskq.keeps
        where keeps.outcome = 'completed'
          and keeps.seconds < longest
        group by keeps.seconds
        order by keeps.seconds
    loop
        select min(coalesce(keep_sweep.swept_until, '-infinity'))
        into since
        from unnest(rule.task_types) as given (task_type)
        left join taskq.keep_sweep
          on keep_sweep.task_type = given.task_type
         and keep_sweep.seconds = rule.seconds;
        latest := now() - make_interval(secs => greatest(rule.seconds, 60));
        -- Planned anew each time, so that only the days are opened of which it is.
        execute
            'select max(read.finished_at), count(*)
             from (
                 select finished_at
                 from taskq.history
                 where finished_at > $1
                   and finished_at <= $2
                 order by finished_at
                 limit $3
             ) as read'
        into reached, seen
        using since, latest, most;
        if seen < most then
            reached := latest;
        else
            is_more := true;
        end if;
        has_groups := taskq.are_groups_open(reached, latest);
        -- Where no group is open, nothing is asked of a row.
        if has_groups then
            execute
                'insert into taskq.keep_spared (group_id, finished_at, task_id, task_type)
                 select taskq.group_of(metadata), finished_at, task_id, task_type
                 from taskq.history
                 where finished_at > $1
                   and finished_at <= $2
                   and (task_type = any ($3) or '''' = any ($3) and task_type <> all ($4))
                   and metadata ? ''task.group''
                   and taskq.is_needed(metadata, $5)
                 on conflict on constraint keep_spared_pkey do nothing'
            using since, reached, rule.task_types, others, latest;
        end if;
        execute
            'with gone as (
                 delete from taskq.history
                 where finished_at > $1
                   and finished_at <= $2
                   and (task_type = any ($3) or '''' = any ($3) and task_type <> all ($4))
                   and (not $5 or (metadata ? ''task.group'') is not true or not taskq.is_needed(metadata, $6))
                 returning task_type
             )
             select coalesce(jsonb_agg(counted), ''[]'')
             from (
                 select task_type, ''completed'' as outcome, count(*) as total from gone group by task_type
             ) as counted'
        into counts
        using since, reached, rule.task_types, others, has_groups, latest;
        pruned := pruned + taskq.count_pruned(counts);
        insert into taskq.keep_sweep as held (task_type, seconds, swept_until, again_at)
        select given.task_type, rule.seconds, reached, now() + interval '1 day'
        from unnest(rule.task_types) as given (task_type)
        on conflict on constraint keep_sweep_pkey do update
        set seconds = excluded.seconds,
            swept_until = excluded.swept_until;
    end loop;
    for rule in
        with recursive spared as (
            (select keep_spared.group_id from taskq.keep_spared order by keep_spared.group_id limit 1)
            union all
            select next.group_id
            from spared
            cross join lateral (
                select keep_spared.group_id
                from taskq.keep_spared
                where keep_spared.group_id > spared.group_id
                order by keep_spared.group_id
                limit 1
            ) as next
        )
        select spared.group_id, task_group.ended_at
        from spared
        left join taskq.task_group on task_group.group_id = spared.group_id
        where task_group.group_id is null
           or task_group.ended_at is not null
    loop
        with due as materialized (
            select spared.finished_at, spared.task_id, coalesce(keeps.seconds, unsaid.seconds, longest) as seconds
            from taskq.keep_spared as spared
            left join taskq.keeps
              on keeps.task_type = spared.task_type
             and keeps.outcome = 'completed'
            left join taskq.keeps as unsaid
              on unsaid.task_type = ''
             and unsaid.outcome = 'completed'
            where spared.group_id = rule.group_id
              and case
                  -- They go with their days, by now.
                  when coalesce(keeps.seconds, unsaid.seconds, longest) >= longest then true
                  else rule.ended_at is null
                      or rule.ended_at
                          <= now() - make_interval(secs => greatest(coalesce(keeps.seconds, unsaid.seconds), 60))
              end
            limit most
        ),
        deleted as (
            delete from taskq.history
            using due
            where history.finished_at = due.finished_at
              and history.task_id = due.task_id
              and due.seconds < longest
            returning history.task_type
        ),
        forgotten as (
            delete from taskq.keep_spared
            using due
            where keep_spared.group_id = rule.group_id
              and keep_spared.finished_at = due.finished_at
              and keep_spared.task_id = due.task_id
            returning 1
        )
        select
            (select count(*) from forgotten),
            (
                select coalesce(jsonb_agg(counted), '[]')
                from (
                    select deleted.task_type, 'completed' as outcome, count(*) as total from deleted group by deleted.task_type
                ) as counted
            )
        into seen, counts;
        is_more := is_more or seen = most;
        pruned := pruned + taskq.count_pruned(counts);
    end loop;
    for rule in
        select keeps.task_type, keeps.outcome, keeps.seconds
        from taskq.keeps
        where keeps.outcome <> 'completed'
          and keeps.seconds < 'infinity'
        order by keeps.task_type, keeps.outcome
    loop
        with listed as materialized (
            select unnest(bulk_part.task_ids) as task_id
            from taskq.bulk_part
        ),
        found as (
            select dead.task_id
            from taskq.dead
            where dead.task_type = rule.task_type
              and dead.state = rule.outcome
              and dead.finished_at <= now() - make_interval(secs => greatest(rule.seconds, 60))
              and not exists (select from taskq.sequence_block as block where block.task_id = dead.task_id)
              and not exists (select from listed where listed.task_id = dead.task_id)
              and (
                  (dead.metadata ? 'task.group') is not true
                  or not taskq.is_needed(dead.metadata, now() - make_interval(secs => greatest(rule.seconds, 60)))
              )
            order by dead.finished_at, dead.task_id
            limit most
            for update of dead skip locked
        ),
        deleted as (
            delete from taskq.dead
            using found
            where dead.task_id = found.task_id
            returning 1 as one
        )
        select count(*) into gone from deleted;
        is_more := is_more or gone = most;
        pruned := pruned + taskq.count_pruned(
            jsonb_build_array(jsonb_build_object('task_type', rule.task_type, 'outcome', rule.outcome, 'total', gone))
        );
    end loop;
    return next;
end
$prune_kept$;

-- Returns what is kept no longer, by type and outcome, and would be pruned now. It reads all of the history that is so old.
-- `keep` is for how long completed tasks are kept of which nobody says it.
create function taskq.prunable(keep interval default '7 days') returns table (
    task_type text,
    outcome text,
    seconds double precision,
    tasks bigint,
    oldest_at timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $prunable$
    with held as materialized (
        select
            keep_days.seconds as of_days,
            coalesce(others.seconds, extract(epoch from prunable.keep)::double precision) as of_others
        from (select taskq.history_kept_for(prunable.keep) as seconds) as keep_days
        left join taskq.keeps as others
          on others.task_type = ''
         and others.outcome = 'completed'
    ),
    completed as (
        select
            history.task_type,
            coalesce(keeps.seconds, held.of_others) as seconds,
            count(*) as tasks,
            min(history.finished_at) as oldest_at
        from held
        cross join taskq.history
        left join taskq.keeps
          on keeps.task_type = history.task_type
         and keeps.outcome = 'completed'
        where coalesce(keeps.seconds, held.of_others) < 'infinity'
          and case
              when coalesce(keeps.seconds, held.of_others) < held.of_days
                  then history.finished_at
                      <= now() - make_interval(secs => greatest(coalesce(keeps.seconds, held.of_others), 60))
              -- Those go with their day.
              else date_trunc('day', history.finished_at, 'UTC') + interval '1 day'
                  < now() - make_interval(secs => coalesce(keeps.seconds, held.of_others))
          end
          and (
              (history.metadata ? 'task.group') is not true
              or not taskq.is_needed(
                  history.metadata,
                  now() - make_interval(secs => greatest(coalesce(keeps.seconds, held.of_others), 60))
              )
          )
        group by history.task_type, coalesce(keeps.seconds, held.of_others)
    )
    select completed.task_type, 'completed', completed.seconds, completed.tasks, completed.oldest_at
    from completed
    union all
    select keeps.task_type, keeps.outcome, keeps.seconds, found.tasks, found.oldest_at
    from taskq.keeps
    cross join lateral (
        select count(*) as tasks, min(dead.finished_at) as oldest_at
        from taskq.dead
        where dead.task_type = keeps.task_type
          and dead.state = keeps.outcome
          and dead.finished_at <= now() - make_interval(secs => greatest(keeps.seconds, 60))
          and not exists (select from taskq.sequence_block as block where block.task_id = dead.task_id)
          and not exists (
              select
              from taskq.bulk_part
              where bulk_part.task_ids @> array[dead.task_id]
          )
          and (
              (dead.metadata ? 'task.group') is not true
              or not taskq.is_needed(dead.metadata, now() - make_interval(secs => greatest(keeps.seconds, 60)))
          )
    ) as found
    where keeps.outcome <> 'completed'
      and keeps.seconds < 'infinity'
      and found.tasks > 0
    order by 1, 2
$prunable$;

-- For people: keeps the finished tasks of a type and outcome for so long, whatever its program declares. `keep_for` is 'none',
-- 'forever' or a time such as '30d'.
create function taskq.keep(
    task_type text,
    outcome text,
    keep_for text,
    reason text default null,
    by text default session_user
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $keep$
declare
    spell double precision := case keep.keep_for
        when 'none' then 0
        when 'forever' then 'infinity'
        else extract(epoch from keep_for::interval)
    end;
begin
    if keep.outcome not in ('completed', 'discarded', 'cancelled', 'expired', 'invalid', 'quarantined') then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format(
                'there is no outcome "%s": it is completed, discarded, cancelled, expired, invalid or quarantined',
                keep.outcome
            );
    end if;
    if keep.keep_for is null or (spell <= 0 and keep.keep_for <> 'none') then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" is no time: write none, forever, or a time such as 30d', keep.keep_for);
    end if;
    -- So long ago Postgres knows no time, and pruning of all types would fail.
    if spell > extract(epoch from interval '36600 days') and spell < 'infinity' then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('"%s" is more than a hundred years: write forever', keep.keep_for);
    end if;
    insert into taskq.keep_override as held (task_type, outcome, seconds, by, reason)
    values (keep.task_type, keep.outcome, spell, coalesce(keep.by, session_user), keep.reason)
    on conflict on constraint keep_override_pkey do update
    set seconds = excluded.seconds,
        by = excluded.by,
        reason = excluded.reason,
        said_at = excluded.said_at;
    perform taskq.write_down(
        'keep',
        'task_type',
        keep.task_type,
        format('%s %s', keep.outcome, keep.keep_for),
        keep.reason,
        keep.by
    );
end
$keep$;

-- Has what is declared hold again. Returns whether there was another word.
create function taskq.reset_keep(
    task_type text,
    outcome text,
    reason text default null,
    by text default session_user
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $reset_keep$
begin
    delete from taskq.keep_override as held
    where held.task_type = reset_keep.task_type
      and held.outcome = reset_keep.outcome;
    if not found then
        return false;
    end if;
    perform taskq.write_down(
        'reset keep',
        'task_type',
        reset_keep.task_type,
        reset_keep.outcome,
        reset_keep.reason,
        reset_keep.by
    );
    return true;
end
$reset_keep$;

-- Returns which dead tasks are kept for ever that are many, or old. Counts 100,000 of each at the most, of 100 kinds.
create function taskq.ail_kept() returns setof taskq.ailment
language sql
stable
as $ail_kept$
    with recursive kind as (
        (
            select dead.task_type, dead.state, 1 as position
            from taskq.dead
            order by dead.task_type, dead.state
            limit 1
        )
        union all
        select next.task_type, next.state, kind.position + 1
        from kind
        cross join lateral (
            select dead.task_type, dead.state
            from taskq.dead
            where (dead.task_type, dead.state) > (kind.task_type, kind.state)
            order by dead.task_type, dead.state
            limit 1
        ) as next
        where kind.position < 100
    )
    select
        'kept',
        'warning',
        format('%s %s', kind.task_type, kind.state),
        format(
            '%s of type %s %s %s and kept for ever, the oldest for %s',
            taskq.counted(counted.number, 'task', 100000),
            kind.task_type,
            taskq.one_or_many(counted.number, 'is', 'are'),
            kind.state,
            taskq.in_words(now() - oldest.finished_at)
        ),
        format(
            'retry or discard them; or say for how long they are kept, as keep(%s = "90d") in the program does',
            kind.state
        ),
        null,
        format('select taskq.keep(%L, %L, ''90d'')', kind.task_type, kind.state)
    from kind
    cross join lateral (
        select dead.finished_at
        from taskq.dead
        where dead.task_type = kind.task_type
          and dead.state = kind.state
        order by dead.finished_at
        limit 1
    ) as oldest
    cross join lateral (
        select count(*) as number
        from (
            select
            from taskq.dead
            where dead.task_type = kind.task_type
              and dead.state = kind.state
            limit 100000
        ) as first
    ) as counted
    where (counted.number >= 10000 or oldest.finished_at < now() - interval '90 days')
      and not exists (
          select
          from taskq.keeps
          where keeps.task_type = kind.task_type
            and keeps.outcome = kind.state
      )
$ail_kept$;

revoke execute on function taskq.declare_keep from public;
revoke execute on function taskq.prune_kept from public;
revoke execute on function taskq.count_pruned from public;
revoke execute on function taskq.prunable from public;
revoke execute on function taskq.keep from public;
revoke execute on function taskq.reset_keep from public;

insert into taskq.migration (version, name, oldest_binary)
select 32, 'keep', max(oldest_binary) from taskq.migration;

-- Ends the schedules that no living worker has declared for so long, and forgets those that ended long ago. Where
-- another definition of the name is still declared, that one holds from now on.
-- $1 seconds since the last declaration, $2 whether this worker has looked for long enough to end any
-- Reads both tables, which have a row for each schedule. Locks: the rows of what ends, unless others have them.
with orphaned as materialized (
    select schedule.name
    from taskq.schedule
    join taskq.schedule_definition as held using (definition_id)
    where held.declared_until <= now()
),
chosen as materialized (
    select taskq.choose_definitions(array(select orphaned.name from orphaned order by orphaned.name)) as changed
    where exists (select from orphaned)
),
ended as (
    update taskq.schedule
    set ended_at = now(),
        revision = schedule.revision + 1
    where schedule.name in (
        select silent.name
        from taskq.schedule as silent
        where $2
          and silent.ended_at is null
          and silent.name in (select orphaned.name from orphaned)
          and not exists (
              select
              from taskq.schedule_definition as said
              where said.name = silent.name
                and (said.declared_until is null or said.declared_until > now() - make_interval(secs => $1))
          )
        order by silent.name
        for update skip locked
    )
    returning schedule.name
),
forgotten as (
    delete from taskq.schedule
    where schedule.name in (
        select old.name
        from taskq.schedule as old
        where old.ended_at < now() - interval '90 days'
        for update skip locked
    )
),
unknown as (
    delete from taskq.schedule_definition as old
    where old.declared_until < now() - interval '90 days'
      and not exists (
          select
          from taskq.schedule
          where schedule.definition_id = old.definition_id
            and schedule.ended_at is null
      )
)
select ended.name
from ended
union all
-- No row: it has them chosen.
select null
from chosen
where chosen.changed < 0

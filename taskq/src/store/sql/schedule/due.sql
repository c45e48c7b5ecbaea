-- Tells which schedules tick now or soon, the earliest first, and those of which a worker has to find out when.
-- $1 how many seconds soon is, $2 so many at the most
-- $3 names and $4 revisions of what this worker leaves out
-- Index schedule_next_tick: the head of it; then schedule_definition_pkey and pause_pkey for each. Locks: none.
select
    schedule.name,
    schedule.revision,
    -- The end of a pause that ended by itself: nothing before it is owed.
    greatest(schedule.owed_after, pause.until) as owed_after,
    now() as asked_at,
    extract(epoch from schedule.next_tick - now())::float8 as due_in,
    definition.expression,
    definition.timezone,
    definition.catch_up,
    definition.catch_up_within,
    definition.jitter
from taskq.schedule
join taskq.schedule_definition as definition using (definition_id)
left join taskq.pause
    on pause.scope = 'schedule'
   and pause.name = schedule.name
where schedule.ended_at is null
  and (schedule.next_tick is null or schedule.next_tick <= now() + make_interval(secs => $1))
  and (definition.declared_until is null or definition.declared_until > now())
  and (pause.name is null or pause.until <= now())
  and not exists (
      select
      from unnest($3::text[], $4::bigint[]) as left_out (name, revision)
      where left_out.name = schedule.name
        and left_out.revision = schedule.revision
  )
order by schedule.next_tick nulls first, schedule.name
limit $2

-- Takes ticks of a schedule: enqueues their tasks, and moves the schedule on in the same statement. Returns how many
-- ticks enqueued a task; nothing if another worker was faster, or the schedule has changed or is paused.
-- $1 name, $2 its revision
-- $3 the ticks, $4 how many seconds later the task of each starts
-- $5 until when nothing is owed any more, $6 the next tick, $7 how many were missed and are left out
-- Index schedule_pkey, pause_pkey, task_pkey. Locks: the schedule's row, unless another has it.
with taken as materialized (
    select
        schedule.name,
        schedule.last_task_ids,
        definition
    from taskq.schedule
    join taskq.schedule_definition as definition using (definition_id)
    where schedule.name = $1
      and schedule.revision = $2
      -- A tick that was taken is never taken again, whatever a clock says.
      and schedule.owed_after < $5
      and $5 <= now()
      and schedule.ended_at is null
      and not exists (
          select
          from taskq.pause
          where pause.scope = 'schedule'
            and pause.name = schedule.name
            and (pause.until is null or pause.until > now())
      )
    for update of schedule skip locked
),
living as materialized (
    select last.task_id, last.place
    from taken
    cross join lateral (
        select id as task_id, taskq.where_is(id) as place
        from unnest(taken.last_task_ids) as id
    ) as last
    where (taken.definition).overlap <> 'allow'
      and last.place is not null
),
chosen as materialized (
    select tick.nominal, tick.later, tick.place
    from taken
    cross join unnest($3::timestamptz[], $4::float8[]) with ordinality as tick (nominal, later, place)
    where case (taken.definition).overlap
            when 'allow' then true
            -- Of several only the first: it will still be there.
            when 'skip' then tick.place = 1 and not exists (select from living)
            else tick.place = 1 and not exists (select from living where living.place = 'waiting')
        end
),
enqueued as materialized (
    select chosen.nominal, chosen.place, task.task_id, task.outcome
    from taken
    cross join (select * from chosen order by chosen.place) as chosen
    cross join lateral taskq.enqueue_tick(
        taken.definition,
        chosen.nominal,
        greatest(now(), chosen.nominal + make_interval(secs => chosen.later))
    ) as task
),
summed as materialized (
    select
        -- A task of another, with the same key, may have been there.
        count(*) filter (where enqueued.outcome <> 'existing') as ticks,
        max(enqueued.nominal) filter (where enqueued.outcome <> 'existing') as last_tick,
        array_agg(enqueued.task_id order by enqueued.place) as task_ids
    from enqueued
),
left_out as materialized (
    select count(*) as number, min(tick.nominal) as from_at, max(tick.nominal) as to_at
    from unnest($3::timestamptz[]) as tick (nominal)
    where tick.nominal not in (select enqueued.nominal from enqueued where enqueued.outcome <> 'existing')
)
update taskq.schedule
set owed_after = $5,
    next_tick = $6,
    revision = schedule.revision + 1,
    last_tick = coalesce(summed.last_tick, schedule.last_tick),
    last_task_ids = case (taken.definition).overlap
        when 'allow' then
            case
                when summed.task_ids is null then schedule.last_task_ids
                else summed.task_ids[cardinality(summed.task_ids):]
            end
        else array(select living.task_id from living order by living.task_id) || summed.task_ids
    end,
    ticks = schedule.ticks + summed.ticks,
    skipped_missed = schedule.skipped_missed + $7,
    skipped_overlap = schedule.skipped_overlap + left_out.number,
    skips = taskq.with_skip(
        taskq.with_skip(schedule.skips, 'missed', $7, schedule.owed_after, $5),
        'overlap',
        left_out.number,
        left_out.from_at,
        left_out.to_at,
        coalesce((select min(living.task_id) from living), summed.task_ids[1])
    ),
    error = null,
    error_at = null
from taken
cross join summed
cross join left_out
where schedule.name = taken.name
returning summed.ticks

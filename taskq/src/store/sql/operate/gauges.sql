-- Tells what metrics show of all tables: of each kind how much there is and whether a living worker declares it, how many
-- workers live, and how late the latest schedule is. One row at least.
-- $1 how far to count
-- As stats; walks the workers; index schedule_next_tick. Locks: none.
with living as materialized (
    select worker.queues, worker.task_types
    from taskq.worker
    where worker.expires_at > now()
)
select
    stats.queue,
    stats.task_type,
    stats.due,
    stats.scheduled,
    stats.running,
    stats.dead,
    case
        when not stats.is_paused then extract(epoch from greatest(now() - stats.oldest_due_at, interval '0'))::float8
    end as oldest_due_age,
    exists (select from living where stats.queue = any (living.queues)) as queue_is_known,
    exists (select from living where stats.task_type = any (living.task_types)) as type_is_known,
    (select count(*) from living) as workers,
    (
        select extract(epoch from now() - min(schedule.next_tick))::float8
        from taskq.schedule
        where schedule.ended_at is null
          and schedule.next_tick < now()
          and not exists (
              select
              from taskq.pause
              where pause.scope = 'schedule'
                and pause.name = schedule.name
                and (pause.until is null or pause.until > now())
          )
    ) as schedule_late
from (values (1)) as always
left join taskq.stats($1) as stats on true

-- Deletes all that `bench` may have left, when it is done or was interrupted. Its queue and its task type have one name.
-- $1 text: that name
-- Locks: the rows deleted, then the minutes of all kinds together that they were counted in.
with waiting as (
    delete from taskq.task
    where queue = $1
),
running as (
    delete from taskq.lease
    where queue = $1
),
ended as (
    delete from taskq.dead
    where queue = $1
      and task_type = $1
),
counted as (
    delete from taskq.counter
    where task_type = $1
),
minutes as (
    delete from taskq.minute
    where queue = $1
      and task_type = $1
    returning minute.*
)
update taskq.minute_total
set completed = minute_total.completed - minutes.completed,
    failed = minute_total.failed - minutes.failed,
    died = minute_total.died - minutes.died,
    waits = array(
        select all_counts.number - coalesce(all_counts.gone, 0)
        from unnest(minute_total.waits, minutes.waits) with ordinality as all_counts (number, gone, place)
        order by all_counts.place
    ),
    runs = array(
        select all_counts.number - coalesce(all_counts.gone, 0)
        from unnest(minute_total.runs, minutes.runs) with ordinality as all_counts (number, gone, place)
        order by all_counts.place
    )
from minutes
where minute_total.minute = minutes.minute

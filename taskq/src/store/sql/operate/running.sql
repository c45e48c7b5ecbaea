-- Counts the tasks of a queue, a task type or a schedule that workers have claimed: those that run, and those that a worker
-- is about to hand back after a pause.
-- $1 queue, task_type or schedule, $2 its name
-- Walks the leases: as many tasks as run or are prefetched. Locks: none.
select count(*)
from taskq.tasks
where state = 'running'
  and $2 = case $1
      when 'queue' then queue
      when 'task_type' then task_type
      else metadata -> 'schedule.tick' ->> 'schedule'
  end

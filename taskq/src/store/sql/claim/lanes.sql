-- Says of each lane when its first task is due, where its frontier stands, and how many other workers claim from it.
-- The end of scan.sql and scan_marked.sql.
select
    lane.task_type,
    lane.payload_version,
    lane.crashes,
    lane.priority,
    lane.run_at,
    lane.task_id,
    now() as scanned_at,
    extract(epoch from greatest(lane.run_at - now(), interval '0'))::float8 as due_in,
    frontier.run_at as frontier_run_at,
    frontier.task_id as frontier_task_id,
    (
        select count(*)::integer
        from taskq.worker
        where worker.worker_id <> $4
          and worker.expires_at > now()
          and $1 = any (worker.queues)
          and lane.task_type = any (worker.task_types)
    ) as others
from lane
left join taskq.frontier
  on frontier.queue = $1
 and frontier.task_type = lane.task_type
 and frontier.payload_version = lane.payload_version
 and frontier.priority = lane.priority
 and lane.crashes = 0

-- Tells which workers there are.
-- Walks the workers and the leases. Locks: none.
select
    workers.worker_id,
    workers.host,
    workers.process_id,
    workers.release,
    workers.queues,
    workers.task_types,
    workers.slots,
    workers.running,
    workers.leases,
    workers.oldest_claimed_at,
    workers.started_at,
    workers.seen_at,
    workers.expires_at,
    workers.stop_asked_at,
    workers.is_alive
from taskq.workers() as workers

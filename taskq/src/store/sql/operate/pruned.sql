-- Tells how many tasks were pruned, by type and outcome, and whether a living worker knows the type.
-- Reads a small table, and walks the workers. Locks: none.
with living as materialized (
    select worker.task_types
    from taskq.worker
    where worker.expires_at > now()
)
select
    pruned.task_type,
    pruned.outcome,
    pruned.total,
    exists (select from living where pruned.task_type = any (living.task_types)) as type_is_known
from taskq.pruned

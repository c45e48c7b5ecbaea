-- Tells what an operator did last to a task, and whether an operation has deleted dead tasks since, in which it may have been.
-- $1 task_id
-- Index audit_task; and all operations, of which there are few. Locks: none.
select
    audit.verb,
    audit.by,
    audit.reason,
    exists (
        select
        from taskq.bulk
        where bulk.verb = 'discard'
          and bulk.done > 0
          and coalesce(bulk.ended_at, now()) >= audit.at
    ) as perhaps_deleted
from taskq.audit
where audit.task_id = $1
order by audit.audit_id desc
limit 1

-- Tells what operators did to tasks, the newest first: one page.
-- $1 before bigint: only what is older than this, or null
-- $2 most integer
-- Index audit_pkey, backwards. Locks: none.
select
    audit.audit_id,
    audit.at,
    audit.by,
    audit.verb,
    audit.task_id,
    audit.task_type,
    audit.queue,
    audit.state,
    audit.reason,
    audit.bulk_id,
    audit.worker_id,
    audit.scope,
    audit.name
from taskq.audit
where audit.audit_id < coalesce($1::bigint, 9223372036854775807)
order by audit.audit_id desc
limit $2::integer

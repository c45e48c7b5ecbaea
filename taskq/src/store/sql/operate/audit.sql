-- Tells what operators did to tasks, the newest first: one page.
-- $1 before bigint: only what is older than this, or null
-- $2 most integer
-- Index audit_pkey, backwards; then bulk_pkey. Locks: none.
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
    bulk_id,
    audit.worker_id,
    audit.scope,
    audit.name,
    coalesce(bulk.said, bulk.filter::text) as bulk_filter,
    bulk.frozen as bulk_tasks
from taskq.audit
left join taskq.bulk using (bulk_id)
where audit.audit_id < coalesce($1::bigint, 9223372036854775807)
order by audit.audit_id desc
limit $2::integer

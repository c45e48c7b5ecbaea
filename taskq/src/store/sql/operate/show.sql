-- Tells of one task all that is stored.
-- $1 task_id
-- Indexes task_pkey, history_task_id, dead_pkey, refused_task_id, audit_task; leases are few. Locks: none.
select taskq.show($1)

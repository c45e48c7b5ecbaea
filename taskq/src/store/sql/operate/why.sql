-- Tells why a task does not run now, as an array of reasons.
-- $1 task_id
-- Indexes task_pkey, task_lane, task_sequence; leases are few. Locks: none.
select coalesce(jsonb_agg(to_jsonb(told)), '[]')
from taskq.why($1) as told

-- Pauses a queue or a task type, and returns the pause that held before, if one did.
-- $1 queue or task_type, $2 its name, $3 reason, $4 until, $5 by whom; null for the role of the session
-- Index pause_pkey. Locks: the row of the pause, and those of pauses that have ended.
select
    former.scope,
    former.name,
    former.since,
    former.by,
    former.reason,
    former.until,
    null::float8 as ends_in
from taskq.put_pause($1, $2, $3, $4, $5) as former

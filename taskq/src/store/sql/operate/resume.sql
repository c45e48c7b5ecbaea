-- Ends the pause of a queue or a task type, and returns it, if it held.
-- $1 queue, task_type or schedule, $2 its name, $3 reason, $4 by whom; null for the role of the session
-- Index pause_pkey. Locks: the row of the pause; a new row of the audit.
select
    former.scope,
    former.name,
    former.since,
    former.by,
    former.reason,
    former.until,
    null::float8 as ends_in
from taskq.end_pause($1, $2, $3, $4) as former

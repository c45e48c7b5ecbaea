-- Ends the pause of a queue or a task type, and returns it, if it held.
-- $1 queue or task_type, $2 its name
-- Index pause_pkey. Locks: the row of the pause.
select
    former.scope,
    former.name,
    former.since,
    former.by,
    former.reason,
    former.until,
    null::float8 as ends_in
from taskq.end_pause($1, $2) as former

-- Puts off the first due task of a lane, if Postgres does not let a claim take it, and says why.
-- $1 queue, $2 task type, $3 payload version, $4 crashes, $5 priority; $6 and $7 the lane's cursor
-- $8 the delay in seconds
-- Index task_lane: one probe. Locks: the row, unless others have it.
select
    run_at,
    task_id,
    refusal,
    is_put_off
from taskq.put_off($1, $2, $3, $4, $5, coalesce($6::timestamptz, '-infinity'), $7, $8)

-- Freezes what matches a filter now, and does nothing to it yet.
-- $1 retry, discard, cancel or reschedule, $2 filter, $3 as it was typed, $4 when tasks are due (null: now), $5 reason,
-- $6 by whom; null for the role of the session
-- Walks each table that the filter allows. Locks: new rows only.
select *
from taskq.freeze_bulk($1, $2, $3, $4, $5, coalesce($6, session_user))

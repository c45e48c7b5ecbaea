-- Has an operation begin that is frozen, or go on that was stopped.
-- $1 bulk_id, $2 by whom; null for who froze it; $3 why, where it begins; null for what was said when it was frozen
-- Index bulk_pkey. Locks: its row.
select *
from taskq.begin_bulk($1, $2, $3)

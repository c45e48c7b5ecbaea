-- Takes one part of an operation that has begun.
-- $1 bulk_id
-- Index bulk_part_pkey, then those of a thousand tasks. Locks: the part; rows of tasks, then of leases, and skips locked
-- ones; at last the row of the operation.
select *
from taskq.step_bulk($1)

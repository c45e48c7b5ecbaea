-- Lets tasks go that have completed: the end of settle.sql where it is about no others. After keep.sql where all are
-- kept, which is quicker than move.sql; after shrink.sql alone where none is and Postgres refuses move.sql. Then it
-- names no table that could refuse it.
-- Locks: none further.
gone as (
    select lease_id, task_id
    from settled
)
select
    lease_id,
    task_id
from gone

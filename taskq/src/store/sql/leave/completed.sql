-- Lets tasks go that have completed and are not kept: the end of settle.sql, after shrink.sql, where Postgres refuses
-- move.sql. It names no table that could refuse it.
-- Locks: none further.
gone as (
    select lease_id, task_id
    from settled
)
select
    lease_id,
    task_id
from gone

-- Completes the task of a handler's own transaction, by deleting its lease's row.
-- $1 lease_id
-- Index lease_pkey. Locks: the lease, as the last thing in the transaction.
--
-- Prepared in the handler's session and executed between the statements that end this transaction and
-- begin the next, so that all of them are one round trip. The fence: a lease that was rescued is not
-- there, and then this fails, and with it the transaction.
--
-- Releases the locks that the handler took for its session and left, and tells whether the session has had
-- temporary tables: the next task must see neither. A statement of their own for that would take longer.
with completed as (
    delete from taskq.lease
    where lease_id = $1::uuid
      and cardinality(task_ids) - cardinality(done) = 1
    returning lease_id
)
select
    cast(case count(*) when 1 then '1' else 'the lease of this task is gone' end as integer) as completed,
    pg_advisory_unlock_all() as unlocked,
    pg_my_temp_schema() <> 0 as has_temporary
from completed

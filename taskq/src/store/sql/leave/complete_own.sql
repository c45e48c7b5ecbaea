-- Completes the task of a handler's own transaction, by deleting its lease's row.
-- $1 lease_id
-- Index lease_pkey. Locks: the lease, as the last thing in the transaction.
--
-- Prepared in the handler's session and executed between the statements that end this transaction and
-- begin the next, so that all of them are one round trip. The fence: a lease that was rescued is not
-- there, and then this fails, and with it the transaction.
--
-- Releases the locks that the handler took for its session and left, and tells what else the next task must not
-- see, added up: 1 the session has had temporary tables, 2 it has another user or role. The names of those that it
-- had are written in the place of `taskq_user` and `taskq_role`. Statements of their own for that would take longer.
with completed as (
    delete from taskq.lease
    where lease_id = $1::uuid
      and cardinality(task_ids) - cardinality(done) = 1
    returning lease_id
)
select
    cast(
        case
            when count(*) = 0 then 'the lease of this task is gone'
            when pg_advisory_unlock_all() is null or pg_my_temp_schema() = 0 then '0'
            else '1'
        end as integer
    )
    + case when session_user <> 'taskq_user' or current_user <> 'taskq_role' then 2 else 0 end
        as left_behind
from completed

-- Completes the task of a handler's own transaction, by deleting its lease's row.
-- Goes on in own_left.sql or own_silent.sql.
-- $1 lease_id
-- Index lease_pkey. Locks: the lease, as the last thing in the transaction.
--
-- Prepared in the handler's session and executed between the statements that end this transaction and
-- begin the next, so that all of them are one round trip. The fence: a lease that was rescued is not
-- there, and then this fails, and with it the transaction.
with completed as (
    delete from taskq.lease
    where lease_id = $1::uuid
      and cardinality(task_ids) - cardinality(done) = 1
    returning lease_id
)

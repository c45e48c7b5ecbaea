-- Inserts tasks of several types in the caller's transaction, in the order given, and makes members of groups of those that
-- are to be. Returns as arrays the id of each, or of the task that has its key, and what was done: 'created', 'existing' or
-- 'replaced'.
-- $1 task_types, $2 payloads, $3 payload_versions, $4 queues, $5 priorities, $6 max_attempts
-- $7 run_ats, null for now; $8 delays in seconds, added to now where there is no run_at
-- $9 metadata (null: none), $10 groups (null: none)
-- $11 the options of taskq.enqueue of those that have keys (null: none)
-- Index unique_key_pkey: one probe for each key. Locks: the keys, in the order of types and keys; then new rows, and the waiting
-- tasks that have a key; at the commit the rows of the groups, in their order.
select
    task_ids,
    outcomes
from taskq.enqueue_each($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

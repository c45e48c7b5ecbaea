-- Claims due tasks of one lane whose keys have fair turns.
-- $1 lease_id, for the tasks that share a lease; $2 worker_id; $3 lease duration in seconds; $4 queue
-- $5 the names of the task type, first the one by which it is declared
-- $6 task type, $7 payload version, $8 crashes, $9 priority: the lane; $10 the most tasks to take
-- $11 the key at which the last claim ended (null: there was none), $12 how many tasks of its turn it had
-- $13 whether each task has a lease of its own, $14 whether to look for tasks without a key
-- $15 whether to take nothing, and tell the place of the first task that would be taken of the last key
-- $16 whether the commit must wait for the disk
-- Index task_key: a probe for each key, of some hundred more than tasks are taken at the most, and the rows taken; task_lane
-- for $14; fair_weight_pkey. Deletes by TID scan. Locks: the rows taken, key by key; rows that others have locked are
-- skipped. Then new rows only.
select
    claimed.lease_id,
    claimed.task_ids,
    claimed.task_types,
    claimed.payload_versions,
    claimed.payloads,
    claimed.priorities,
    claimed.run_ats,
    claimed.created_ats,
    claimed.max_attempts,
    claimed.attempts,
    claimed.crashes,
    claimed.errors,
    claimed.metadatas,
    claimed.last_key,
    claimed.last_used,
    claimed.is_end
from taskq.claim_fair($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as claimed
cross join (
    select
        case
            when not $16 then set_config('synchronous_commit', 'off', true)
        end
) as unhurried

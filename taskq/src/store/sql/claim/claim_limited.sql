-- Claims due tasks of one lane whose queue or task type is limited, or whose tasks may have keys of which one runs at a
-- time: no more than the room that its limits leave.
-- $1 worker_id; $2 lease duration in seconds; $3 queue
-- $4 the names of the task type, first the one by which it is limited
-- $5 task type, $6 payload version, $7 crashes, $8 priority: the lane
-- $9 the most tasks to take, $10 how many of them would start at once
-- $11 begins behind this key (null: at the first); for a lane without keys, $12 and $13 places behind which to begin
-- (run_at, task_id), and $14 how many tasks to take behind each at the most
-- $15 whether each task has a lease of its own, $16 whether tasks may have keys of which one runs at a time
-- $17 the keys of which something has ended since a claim found the lane full (null: others may have room)
-- Index task_key: a probe for each of some hundred keys, and the rows taken; task_lane for a lane without keys;
-- lease_limited_type: the leases of each key. Locks: advisory ones of the scopes that bound the lane, where nobody has
-- them; then keys of tasks, where nobody has them, the rows taken, and new rows. The commit waits for the disk: a claim that was forgotten would let its
-- tasks run beside their successors.
select
    lease_id,
    task_ids,
    task_types,
    payload_versions,
    payloads,
    priorities,
    run_ats,
    created_ats,
    max_attempts,
    attempts,
    crashes,
    errors,
    metadatas,
    limited_key,
    is_scarce,
    last_key,
    is_end,
    is_busy,
    opens_in
from taskq.claim_limited($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)

-- Limits a queue, a task type or each key of one, and returns the limit that held before, if one did.
-- $1 queue, task_type or key, $2 its name, $3 concurrency or rate
-- $4 the most tasks (null: no limit), $5 in so many seconds and $6 how many at once, of a rate
-- $7 reason, $8 until, $9 by whom; null for the role of the session
-- Index limit_rule_pkey. Locks: an advisory one; the row of the limit.
select *
from taskq.put_limit($1, $2, $3, $4, $5, $6, $7, $8, $9)

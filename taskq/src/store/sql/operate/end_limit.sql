-- Has what is declared hold again for a queue, a task type or each key of one, and returns what was said in its place.
-- $1 queue, task_type or key, $2 its name, $3 reason, $4 by whom; null for the role of the session
-- Index limit_rule_pkey. Locks: an advisory one; the rows of the limits.
select *
from taskq.end_limit($1, $2, null, $3, $4)

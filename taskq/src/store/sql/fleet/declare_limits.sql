-- Says that a living worker declares the limits of its task types. What the latest version of a program declares holds.
-- $1 the task types; $2 of each an array of objects, as taskq.limit_rule has them; $3 for so many seconds
-- Index limit_definition_declared, limit_rule_pkey. Locks: an advisory one; the rows of these types; with the first limit
-- by key of a type also taskq.task, for which it waits no longer than 1.5 seconds.
select taskq.declare_limits($1, $2, $3)

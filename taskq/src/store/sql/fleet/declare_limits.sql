-- Says how the handlers of a worker limit their task types, in place of what was said of these types before.
-- $1 the task types; $2 scopes, $3 names, $4 kinds: the limits
-- $5 the most tasks; $6 in how many seconds and $7 how many at once, of a rate
-- $8 the payload's fields that make a key, $9 other names of the type, as JSON arrays
-- Index limit_rule_pkey. Locks: an advisory one; the rows of these types.
select taskq.declare_limits($1, $2, $3, $4, $5, $6, $7, $8, $9)

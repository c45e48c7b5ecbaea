-- Says that a living worker keeps the finished tasks of these types and outcomes for so long, until a day from now at least.
-- $1 task types; $2 outcomes; $3 seconds
-- Index keep_definition_pkey. Locks: the rows of these types, if they were said long ago.
select taskq.declare_keep($1, $2, $3)

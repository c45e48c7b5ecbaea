-- Ends the limits that no living worker has declared for so many seconds, and tells of which task types.
-- $1 seconds
-- Reads all definitions. Locks: where there are such, an advisory one, and the rows of their types.
select end_undeclared_limits from taskq.end_undeclared_limits($1)

-- Keeps the finished tasks of a type and outcome for another time than programs declare.
-- $1 task type, $2 outcome, $3 none, forever or a time; $4 reason, $5 by whom (null for the role of the session)
-- Index keep_override_pkey. Locks: the row of the type and outcome.
select taskq.keep($1, $2, $3, $4, coalesce($5, session_user))

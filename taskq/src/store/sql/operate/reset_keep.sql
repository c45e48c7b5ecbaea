-- Has what programs declare hold again, and returns whether there was another word.
-- $1 task type, $2 outcome; $3 reason, $4 by whom (null for the role of the session)
-- Index keep_override_pkey. Locks: the row of the type and outcome.
select taskq.reset_keep($1, $2, $3, coalesce($4, session_user))

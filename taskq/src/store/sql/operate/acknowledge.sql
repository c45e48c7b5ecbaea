-- Says that somebody knows of a trouble and leaves it as it is.
-- $1 problem, $2 subject, $3 severity, $4 until when (null: for good), $5 reason, $6 by whom; null for the role of the session
-- Index acknowledged_pkey. Locks: its row; a new row of the audit.
select taskq.acknowledge($1, $2, $3, $4, $5, $6)

-- Has what was acknowledged count as trouble again, and returns whether it was.
-- $1 problem, $2 subject, $3 reason, $4 by whom; null for the role of the session
-- Index acknowledged_pkey. Locks: its row; a new row of the audit.
select taskq.unacknowledge($1, $2, $3, $4)

-- Ends a session that has a transaction open, and returns its last statement.
-- $1 the id of its process, $2 reason, $3 by whom; null for the role of the session
-- Reads what the server says of its sessions. Locks: a new row of the audit.
select taskq.end_session($1, $2, $3)

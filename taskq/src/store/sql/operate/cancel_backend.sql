-- Stops the query that another connection of this worker is running.
-- $1 process id of the connection's backend
-- Locks: none.
select pg_cancel_backend($1)

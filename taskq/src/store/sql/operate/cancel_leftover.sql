-- Stops the query that a handler has left running on its connection when it returned.
-- $1 process id of the connection's backend
-- Locks: none.
--
-- What completes the handler's task is never stopped: it begins as below.
select pg_cancel_backend(pid)
from pg_stat_activity
where pid = $1
  and state = 'active'
  and query not like '/* taskq accept */%'

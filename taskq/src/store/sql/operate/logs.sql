-- Returns the runs of a task that have log lines, as JSON.
-- $1 task_id, $2 so many of the newest lines of each at the most
-- Indexes attempt_log_pkey, log_chunk_pkey. Locks: none.
select taskq.logs_of($1, $2)

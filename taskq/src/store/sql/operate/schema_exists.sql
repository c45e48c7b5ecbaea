-- Tells whether the task tables are there.
-- Locks: none.
select to_regclass('taskq.migration') is not null

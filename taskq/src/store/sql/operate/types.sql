-- Tells a test that has not found a task which types of tasks there are, and how many of each.
-- Walks the tables: tests have small ones. Locks: none.
select
    task_type,
    count(*)
from taskq.tasks
group by task_type
order by task_type

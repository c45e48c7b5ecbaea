-- Adds to the counters of what became of tasks.
-- $1 task types, $2 outcomes, $3 how many
-- Index counter_pkey. Locks: the counters, in the order of their keys.
insert into taskq.counter (task_type, outcome, total)
select given.task_type, given.outcome, given.total
from unnest($1::text[], $2::text[], $3::bigint[]) as given (task_type, outcome, total)
order by given.task_type, given.outcome
on conflict (task_type, outcome) do update
set total = counter.total + excluded.total

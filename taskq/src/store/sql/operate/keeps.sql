-- Tells for how long finished tasks are kept, by type and outcome, and how many were pruned.
-- Reads small tables. Locks: none.
--
-- With the empty type stand the completed tasks of all types of which nothing is said.
select
    keeps.task_type,
    keeps.outcome,
    nullif(keeps.seconds, 'infinity') as seconds,
    keeps.is_overridden,
    keeps.by,
    keeps.reason,
    keeps.said_at,
    coalesce(gone.total, 0)::bigint as pruned,
    gone.last_at as last_pruned_at
from taskq.keeps
cross join lateral (
    select sum(pruned.total) as total, max(pruned.last_at) as last_at
    from taskq.pruned
    where pruned.outcome = keeps.outcome
      and (
          pruned.task_type = keeps.task_type
          or keeps.task_type = ''
          and not exists (
              select
              from taskq.keeps as own
              where own.task_type = pruned.task_type
                and own.outcome = pruned.outcome
          )
      )
) as gone
order by keeps.task_type, keeps.outcome

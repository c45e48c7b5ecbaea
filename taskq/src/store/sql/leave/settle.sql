-- Takes tasks out of their leases, each to where its outcome sends it.
-- $1 lease ids, $2 task ids, $3 outcomes, $4 delays in seconds, $5 how the attempts failed, as JSON with the text in
--    `error` (null: none to record)
-- $6 whether the task is kept in the history when it has completed
-- $7 the results of those that have, as JSON (null: none is kept; null for all of them: none at all), what those that
--    wait again are to have in their metadata (null: what they have), and what Postgres said of those that it has refused
-- Goes on in shrink.sql and move.sql, which says what each outcome means.
-- Index lease_pkey. Locks: the leases, in the order of their ids; then new rows only.
--
-- The fence: an outcome counts only for a task that is still listed in its lease and not yet done.
-- The parameters stand in subqueries so that the plan is made once: it takes milliseconds. It does not
-- know how many tasks there are, and where it expects few it would look through each lease once for each
-- task: so they are matched by a full join, which is never a loop within a loop, and `offset 0` keeps it
-- one.
with given as materialized (
    select
        given.lease_id,
        given.task_id,
        given.outcome,
        given.delay,
        given.error,
        given.keep,
        given.result
    from unnest(
        (select $1::uuid[]),
        (select $2::bigint[]),
        (select $3::text[]),
        (select $4::float8[]),
        (select $5::text[]::jsonb[]),
        (select $6::boolean[]),
        (select $7::text[])
    ) as given (lease_id, task_id, outcome, delay, error, keep, result)
),
held as materialized (
    select lease.*
    from (
        select distinct given.lease_id
        from given
        order by given.lease_id
    ) as given
    cross join lateral (
        select *
        from taskq.lease
        where lease.lease_id = given.lease_id
        for update
        offset 0
    ) as lease
),
settled as materialized (
    select *
    from (
        select
            held.lease_id,
            held.queue,
            held.claimed_at,
            task.*,
            given.outcome,
            given.delay,
            given.error,
            given.keep,
            given.result
        from held
        cross join lateral taskq.left_in(held::taskq.lease) as task
        full join given
          on given.lease_id = held.lease_id
         and given.task_id = task.task_id
        offset 0
    ) as matched
    where outcome is not null
      and lease_id is not null
),

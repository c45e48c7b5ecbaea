-- Goes on from claim.sql, where the handler of a lane's type is given many payloads and completes their tasks in its own
-- transaction: the tasks of one call have a lease together. Batches of one lease would wait for each other's commits.
-- $15 the leases of the batches behind the first; $17 how many tasks have one
taken as (
    delete from taskq.task
    where ctid = any ((select due.places from due)::tid[])
    returning
        task_id,
        task_type,
        payload_version,
        payload,
        priority,
        run_at,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors,
        metadata
),
batch as (
    select
        coalesce(
            ($15::uuid[])[((row_number() over (order by taken.run_at, taken.task_id) - 1) / $17::bigint)::integer],
            $1::uuid
        ) as lease_id,
        taken.*
    from taken
)

-- Goes on from claim.sql. A task whose handler completes it in its own transaction has a lease of its own, and so has one
-- whose worker vanished before.
-- $15 task types whose handler completes its task in its own transaction
batch as (
    delete from taskq.task
    where ctid = any ((select due.places from due)::tid[])
    returning
        case
            when task_type = any ($15::text[]) or crashes > 0 then gen_random_uuid()
            else $1::uuid
        end as lease_id,
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
)

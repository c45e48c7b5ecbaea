-- Goes on from own.sql: what the worker has to be told, in one row for all tasks, as claimed.sql tells it of those that share lease $1.
-- The worker knows what own.sql calls each lease. A row for each would take both of them longer.
--
-- The arrays are parallel, since each reads the batch in the order in which it was taken.
)
select
    $1::uuid as lease_id,
    told.task_ids,
    case when cardinality($6::text[]) > 1 then (select array_agg(batch.task_type) from batch) end as task_types,
    case when cardinality($6::text[]) > 1 then (select array_agg(batch.payload_version) from batch) end as payload_versions,
    told.payloads,
    case when cardinality($6::text[]) > 1 then (select array_agg(batch.priority) from batch) end as priorities,
    told.run_ats,
    told.created_ats,
    case when told.have_max_attempts > 0 then (select array_agg(batch.max_attempts) from batch) end as max_attempts,
    case when told.most_attempts > 0 then (select array_agg(batch.attempts) from batch) end as attempts,
    case when cardinality($6::text[]) > 1 then (select array_agg(batch.crashes) from batch) end as crashes,
    case when told.have_errors > 0 then (select array_agg(batch.errors) from batch) end as errors,
    case when told.have_metadata > 0 then (select array_agg(batch.metadata) from batch) end as metadatas
from (
    select
        array_agg(batch.task_id) as task_ids,
        array_agg(batch.payload) as payloads,
        array_agg(batch.run_at) as run_ats,
        array_agg(batch.created_at) as created_ats,
        count(batch.task_id) as tasks,
        max(batch.attempts) as most_attempts,
        count(batch.max_attempts) as have_max_attempts,
        count(batch.errors) as have_errors,
        count(batch.metadata) as have_metadata
    from batch
) as told
where told.tasks > 0

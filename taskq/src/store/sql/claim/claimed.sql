-- Goes on from leased.sql and shared.sql: what the worker has to be told.
--
-- What it knows is left out, and so is what hardly any task has: to send an element takes Postgres about as long as to find
-- it. Whoever asked for one lane knows the type, version, crashes and priority of all.
returning
    lease_id,
    task_ids,
    case when cardinality($6::text[]) > 1 then task_types end as task_types,
    case when cardinality($6::text[]) > 1 then payload_versions end as payload_versions,
    payloads,
    case when cardinality($6::text[]) > 1 then priorities end as priorities,
    run_ats,
    created_ats,
    max_attempts,
    case when 0 < any (attempts) then attempts end as attempts,
    case when cardinality($6::text[]) > 1 then crashes end as crashes,
    errors,
    metadatas

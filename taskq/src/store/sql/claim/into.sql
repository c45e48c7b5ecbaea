-- Goes on from what was taken: moves the tasks into leases. Goes on in leased.sql, own.sql or shared.sql.
insert into taskq.lease (
    lease_id,
    worker_id,
    queue,
    expires_at,
    task_ids,
    task_types,
    payload_versions,
    payloads,
    priorities,
    run_ats,
    created_ats,
    max_attempts,
    attempts,
    crashes,
    errors,
    metadatas
)

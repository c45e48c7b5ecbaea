-- Reads the next page of waiting tasks, in the order of their ids.
-- $1 after this id, $2 up to this id, $3 so many rows at the most, $4 until their payloads have so many
-- bytes as they are stored; the first one in any case
-- Index task_pkey: one range scan. Locks: none.
select
    page.task_id,
    page.task_type,
    page.payload_version,
    page.payload
from (
    select
        next.*,
        -- Of what is stored out of line this reads the length alone.
        sum(pg_column_size(next.payload)) over (
            order by next.task_id
            rows between unbounded preceding and 1 preceding
        ) as bytes_before
    from (
        select task_id, task_type, payload_version, payload
        from taskq.task
        where task_id > $1
          and task_id <= $2
        order by task_id
        limit $3
    ) as next
) as page
where coalesce(page.bytes_before, 0) < $4
order by page.task_id

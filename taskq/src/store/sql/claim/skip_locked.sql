-- Goes on from claim.sql, where others may claim the same rows: locks each, and skips those that others have locked. Goes on in
-- each.sql, batches.sql or taken.sql.
--
-- `for update` follows a row that was just updated, and `delete` does not see that row: fewer rows than asked for are
-- not the end of the lane.
            order by task.run_at, task.task_id
            limit lane.share
            for update skip locked
        ) as head
        limit (select $5::bigint)
    ) as places
),

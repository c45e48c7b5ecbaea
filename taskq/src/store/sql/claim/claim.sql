-- Claims due tasks: deletes them from the waiting ones and moves them into leases, in one
-- statement, so that no two workers get the same task.
-- $1 lease_id, for the tasks that share a lease; $2 worker_id; $3 lease duration in seconds
-- $4 queue; $5 the most tasks to take
-- $6 task types, $7 payload versions, $8 crashes, $9 priorities: the lanes, in the order of their turns
-- $10 and $11 the lanes' cursors (run_at, task_id), $12 and $13 the ends of their reserved ranges, $14 their
-- shares
-- $15 said in each.sql, batches.sql, own.sql and shared.sql; $16 in leased.sql
-- Returns, for each lease: its id, and what is known of its tasks: see claimed.sql and told.sql.
-- Index task_lane: one index scan for each lane, from its cursor to the end of its range if one is reserved.
-- Deletes by TID scan.
-- Locks: the rows taken, lane by lane. Then new rows only.
--
-- Goes on in skip_locked.sql or untouched.sql, which say how it keeps out of the way of others. Then in each.sql or batches.sql,
-- which say what shares a lease, and in leased.sql; or in taken.sql, and in shared.sql or own.sql, where all do or none
-- does. Before these stands into.sql, and behind them claimed.sql, or told.sql behind own.sql.
--
-- Postgres may lose a claim in a crash if its commit did not wait for the disk: its tasks then wait again and the lease is
-- gone, so a late worker cannot finish them.
--
-- Parameters stand in subqueries where the planner would otherwise use their values and plan each claim
-- anew, which takes half a millisecond.
with due as materialized (
    select array(
        select head.place
        from unnest(
            (select $6::text[]),
            (select $7::smallint[]),
            (select $8::integer[]),
            (select $9::smallint[]),
            (select $10::timestamptz[]),
            (select $11::bigint[]),
            (select $12::timestamptz[]),
            (select $13::bigint[]),
            (select $14::integer[])
        ) as lane (
            task_type,
            payload_version,
            crashes,
            priority,
            cursor_run_at,
            cursor_task_id,
            range_end_run_at,
            range_end_task_id,
            share
        )
        cross join lateral (
            select task.ctid as place
            from taskq.task
            where task.queue = $4
              and task.task_type = lane.task_type
              and task.payload_version = lane.payload_version
              and task.crashes = lane.crashes
              and task.priority = lane.priority
              and (task.run_at, task.task_id)
                > (coalesce(lane.cursor_run_at, '-infinity'), lane.cursor_task_id)
              and (task.run_at, task.task_id)
                <= (coalesce(lane.range_end_run_at, 'infinity'), lane.range_end_task_id)
              and task.run_at <= now()

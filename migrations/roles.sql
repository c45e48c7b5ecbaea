-- Roles for a database in which not everybody may do everything. Run it as the owner of the
-- tables, after the migrations, with the role names of your own: it is an example that is tested,
-- not a migration, and taskq never runs it.

-- A web server: it may enqueue, and see the id of what it enqueued. It cannot read or change a
-- task, and it cannot see who is waiting for one.
create role taskq_enqueue;
grant usage on schema taskq to taskq_enqueue;
grant insert, select (task_id) on taskq.task to taskq_enqueue;
-- What it may do with waiting tasks by their keys, `on_conflict` says. Leave it out where it enqueues none that is unique.
grant execute on function taskq.take_keys to taskq_enqueue;
-- To begin groups, add to them and seal them. Leave it out where nobody does.
grant execute on function taskq.begin_group, taskq.join_group, taskq.seal_group to taskq_enqueue;

-- To read results it has to see where tasks are, and so their payloads: grant it taskq_read below.

-- A worker: all rows, no definitions. What its handlers touch beside is for you to grant.
create role taskq_worker;
grant usage on schema taskq to taskq_worker;
grant select, insert, update, delete
on taskq.task, taskq.lease, taskq.dead, taskq.history, taskq.worker, taskq.sleeper,
    taskq.counter, taskq.frontier, taskq.refused, taskq.unique_key,
    taskq.schedule, taskq.schedule_definition,
    taskq.limit_definition, taskq.limit_rule, taskq.gate, taskq.minute, taskq.minute_total,
    taskq.group_member, taskq.group_change, taskq.progress, taskq.watched, taskq.attempt_log, taskq.log_chunk
to taskq_worker;
grant select on taskq.migration, taskq.tasks, taskq.pause, taskq.sequence_block, taskq.task_group, taskq.pruned
to taskq_worker;
grant select, insert on taskq.secret_field to taskq_worker;
grant execute on function
    taskq.prune_history(interval), taskq.prune_history_day(interval), taskq.advance_ids(), taskq.take_back,
    taskq.take_keys, taskq.prune_keys, taskq.backfill_schedule, taskq.write_down,
    taskq.declare_keep, taskq.prune_kept, taskq.prune_progress, taskq.prune_log,
    taskq.begin_group, taskq.join_group, taskq.seal_group, taskq.tend_groups, taskq.prune_groups,
    taskq.reencrypt
to taskq_worker;

-- A reader: dashboards, and people at three in the morning.
create role taskq_read;
grant usage on schema taskq to taskq_read;
grant select
on taskq.task, taskq.lease, taskq.dead, taskq.history, taskq.worker, taskq.migration, taskq.tasks,
    taskq.counter, taskq.refused, taskq.unique_key, taskq.pause, taskq.audit,
    taskq.bulk, taskq.bulk_failure, taskq.bulk_retried,
    taskq.schedule, taskq.schedule_definition, taskq.limit_definition, taskq.limit_rule, taskq.limits, taskq.gate,
    taskq.sequence_block, taskq.blocked, taskq.fair_weight, taskq.minute, taskq.minute_total, taskq.secret_field,
    taskq.acknowledged, taskq.keep_definition, taskq.keep_override, taskq.keeps, taskq.pruned,
    taskq.task_group, taskq.group_member, taskq.progress, taskq.watched, taskq.attempt_log, taskq.log_chunk
to taskq_read;

-- Whoever pauses and resumes, cancels and retries tasks, one or all that match, makes, changes and runs schedules, and limits,
-- has sequences go on, says what weight keys have, and stops workers.
create role taskq_operator;
grant taskq_read to taskq_operator;
grant insert, update, delete on taskq.pause, taskq.schedule, taskq.schedule_definition, taskq.limit_rule,
    taskq.keep_override
to taskq_operator;
grant delete on taskq.sequence_block to taskq_operator;
grant execute on function
    taskq.put_pause(text, text, text, timestamptz, text), taskq.end_pause,
    taskq.pause_queue(text, text, timestamptz, text), taskq.pause_task_type(text, text, timestamptz, text),
    taskq.resume_queue, taskq.resume_task_type, taskq.backfill_schedule, taskq.run_schedule, taskq.remove_schedule,
    taskq.take_back, taskq.end_session, taskq.forget_worker, taskq.write_down,
    taskq.cancel, taskq.retry, taskq.discard, taskq.edit, taskq.enqueue_by_hand,
    taskq.freeze_bulk, taskq.begin_bulk, taskq.step_bulk, taskq.stop_bulk, taskq.drop_bulk,
    taskq.put_limit, taskq.end_limit, taskq.limit_concurrency, taskq.limit_rate, taskq.reset_limits, taskq.skip_dead,
    taskq.set_weight, taskq.stop_worker, taskq.acknowledge, taskq.unacknowledge, taskq.seal_group,
    taskq.keep, taskq.reset_keep, taskq.prunable, taskq.prune_kept, taskq.prune_history_day
to taskq_operator;

-- Tells what schedules there are, and how far they have come.
-- $1 the name of one; null for all
-- Reads both tables, which have a row for each schedule. Locks: none.
select
    schedule.name,
    definition.expression,
    definition.timezone,
    definition.task_type,
    definition.payload,
    taskq.masked(
        definition.payload,
        taskq.secret_fields(definition.task_type, definition.options -> 'metadata')
    ) as shown,
    definition.options,
    (definition.options ->> 'payload_version')::smallint as payload_version,
    definition.catch_up,
    definition.catch_up_within,
    definition.overlap,
    definition.jitter,
    case when definition.declared_until is null then definition.made_by end as made_by,
    definition.reason,
    -- What a program declares where somebody has said something else by hand.
    (
        select format('%s %s', declared.expression, declared.timezone)
        from taskq.schedule_definition as declared
        where definition.declared_until is null
          and declared.name = schedule.name
          and declared.declared_until > now()
        order by declared.definition_id desc
        limit 1
    ) as declares,
    schedule.ended_at is null
        and (definition.declared_until is null or definition.declared_until > now()) as is_alive,
    schedule.next_tick,
    schedule.last_tick,
    schedule.last_task_ids,
    schedule.ticks,
    schedule.ran_at,
    schedule.ran_task_id,
    schedule.skipped_missed,
    schedule.skipped_overlap,
    schedule.skips,
    schedule.error
from taskq.schedule
join taskq.schedule_definition as definition using (definition_id)
where $1::text is null
   or schedule.name = $1
order by schedule.name

-- Returns the payload that a schedule would get: with the stored values where it says *** of a secret field.
-- $1 the schedule's name, $2 the payload
-- Indexes schedule_pkey, schedule_definition_pkey. Locks: none.
select taskq.unmasked(
    $2::jsonb,
    definition.payload,
    taskq.secret_fields(definition.task_type, definition.options -> 'metadata')
)
from taskq.schedule
join taskq.schedule_definition as definition using (definition_id)
where schedule.name = $1

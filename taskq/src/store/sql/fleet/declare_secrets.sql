-- Says which fields of payloads are secret, once for all.
-- $1 task types, $2 of each one field
-- Index secret_field_pkey: one probe for each. Locks: new rows.
insert into taskq.secret_field (task_type, field)
select declared.task_type, declared.field
from unnest($1::text[], $2::text[]) as declared (task_type, field)
order by declared.task_type, declared.field
on conflict do nothing

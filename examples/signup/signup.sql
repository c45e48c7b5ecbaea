-- Writes a user and the task to welcome them: both or neither, because it is one statement.
-- Gives no row, and so no task, when the email is taken.
-- $1 email text, $2 password text
with usr_ as (
    insert into usr (email, password)
    values ($1, crypt($2, gen_salt('bf')))
    on conflict (email) do nothing
    returning usr_id
), task_ as (
    insert into taskq.task (task_type, payload)
    select 'send_email_welcome', jsonb_build_object('usr_id', usr_id)
    from usr_
)
select usr_id
from usr_

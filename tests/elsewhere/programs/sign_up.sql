begin;
insert into usr (email) values (:'email');
select task_id, outcome
from taskq.enqueue('welcome', jsonb_build_object('email', :'email'), '{"priority": 5}');
commit;

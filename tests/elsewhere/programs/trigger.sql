create function welcome_usr() returns trigger language plpgsql as $$
begin
    perform taskq.enqueue('welcome', jsonb_build_object('email', new.email));
    return null;
end
$$;

create trigger welcome_usr after insert on usr
for each row execute function welcome_usr();

import sys

import psycopg
from psycopg.types.json import Jsonb


def sign_up(url, email):
    # The block commits at its end; an exception rolls back both.
    with psycopg.connect(url) as db:
        db.execute("insert into usr (email) values (%s)", [email])
        task = db.execute(
            "select task_id, outcome from taskq.enqueue('welcome', %s, %s)",
            [Jsonb({"email": email}), Jsonb({"priority": 5})],
        )
        return task.fetchone()


task_id, outcome = sign_up(*sys.argv[1:])
print(task_id, outcome)

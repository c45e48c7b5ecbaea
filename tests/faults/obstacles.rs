//! What users put on taskq's tables, and take away again: foreign keys, unique indexes, checks and triggers
//! that refuse some rows. None keeps an application from enqueuing, unless it says so.

use std::time::Duration;

use sqlx::raw_sql;
use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::operator::all_over;
use crate::stage::{LIMIT, Stage, seed, until};

/// Something that refuses rows while it stands.
#[derive(Clone, Copy)]
pub(crate) struct Obstacle {
    name: &'static str,
    raise: &'static str,
    remove: &'static str,
}

const OBSTACLES: &[Obstacle] = &[
    Obstacle {
        name: "a foreign key",
        raise: "create table user_order (task_id bigint references taskq.task (task_id));
             insert into user_order select task_id from taskq.task where random() < 0.1 limit 30",
        remove: "drop table user_order",
    },
    Obstacle {
        name: "a deferred foreign key",
        raise: "create table user_order (task_id bigint references taskq.task (task_id) deferrable initially deferred);
             insert into user_order select task_id from taskq.task where random() < 0.1 limit 30",
        remove: "drop table user_order",
    },
    Obstacle {
        // With twins, for which no worker asks, of tasks that run.
        name: "a unique index",
        raise: "create unique index one_each on taskq.task ((payload ->> 'n'));
             insert into taskq.task (task_type, payload)
             select 'twin', jsonb_build_object('n', payload -> 'n')
             from (select payload from taskq.tasks where state = 'running' limit 100) as running
             on conflict do nothing",
        remove: "delete from taskq.task where task_type = 'twin';
             drop index taskq.one_each",
    },
    Obstacle {
        name: "a check of waiting tasks",
        raise: "alter table taskq.task
             add constraint fresh check (attempts + crashes = 0 or (payload ->> 'n')::bigint % 3 > 0) not valid",
        remove: "alter table taskq.task drop constraint fresh",
    },
    Obstacle {
        name: "a check of dead tasks",
        raise: "alter table taskq.dead add constraint few check ((payload ->> 'n')::bigint % 3 > 0) not valid",
        remove: "alter table taskq.dead drop constraint few",
    },
    Obstacle {
        name: "a trigger that raises, at enqueues too",
        raise: "create function obstruct() returns trigger language plpgsql as $$
             begin
                 raise exception 'no more of these' using detail = 'says the DBA';
             end $$;
             create trigger obstruct before insert on taskq.task
             for each row when ((new.payload ->> 'n')::bigint % 200 = 0) execute function obstruct();
             create trigger obstruct before insert on taskq.dead
             for each row when ((new.payload ->> 'n')::bigint % 3 = 0) execute function obstruct()",
        remove: "drop function obstruct cascade",
    },
    Obstacle {
        name: "a trigger that drops the rows of tasks that come back",
        raise: "create function obstruct() returns trigger language plpgsql as $$ begin return null; end $$;
             create trigger obstruct before insert on taskq.task
             for each row when (new.created_at < now() and (new.payload ->> 'n')::bigint % 3 = 0)
             execute function obstruct();
             create trigger obstruct before insert on taskq.dead
             for each row when ((new.payload ->> 'n')::bigint % 3 = 0) execute function obstruct()",
        remove: "drop function obstruct cascade",
    },
    Obstacle {
        name: "a trigger that refuses claims",
        raise: "create function obstruct() returns trigger language plpgsql as $$
             begin
                 raise exception 'hands off';
             end $$;
             create trigger obstruct before delete on taskq.task
             for each row when ((old.payload ->> 'n')::bigint % 500 = 0) execute function obstruct()",
        remove: "drop function obstruct cascade",
    },
    Obstacle {
        name: "a trigger that refuses claims and putting off",
        raise: "create function obstruct() returns trigger language plpgsql as $$
             begin
                 raise exception 'hands off';
             end $$;
             create trigger obstruct before delete or update on taskq.task
             for each row when ((old.payload ->> 'n')::bigint % 500 = 0) execute function obstruct()",
        remove: "drop function obstruct cascade",
    },
];

impl Obstacle {
    /// Puts one up, unless something is in the way of that.
    pub(crate) async fn raise(stage: &Stage) -> Option<Self> {
        fastrand::choice(OBSTACLES)?.put_up(stage).await
    }

    async fn put_up(self, stage: &Stage) -> Option<Self> {
        // All or nothing, and nobody waits long behind it.
        let mut tx = taskq::begin(&stage.pool).await.ok()?;
        raw_sql("set local lock_timeout = '2s'")
            .execute(&mut *tx)
            .await
            .ok()?;
        raw_sql(self.raise).execute(&mut *tx).await.ok()?;
        tx.commit().await.ok()?;
        stage.trouble(format!("{} comes and goes", self.name));
        Some(self)
    }

    /// Takes it away.
    pub(crate) async fn remove(self, stage: &Stage) {
        until(self.name, async || {
            let removed = raw_sql(self.remove).execute(&stage.pool).await;
            removed.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn all_is_well_while_each_constraint_of_a_user_comes_and_goes() {
    seed();
    let stage = Stage::shared().await;
    let _workers = Vec::from_iter((0..2).map(|_| stage.worker().start()));
    for obstacle in OBSTACLES {
        enqueue_a_mixture(&stage, 20, 20).await;
        until(obstacle.name, async || {
            obstacle.put_up(&stage).await.is_some()
        })
        .await;
        sleep(Duration::from_millis(700)).await;
        obstacle.remove(&stage).await;
    }
    all_over(&stage, LIMIT).await;
    stage.is_well().await;
    let is_refused = "a refused task is taken back";
    assert!(stage.faults().contains_key(is_refused), "{stage}");
}

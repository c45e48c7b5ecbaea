//! What a server sees of a standby: a connection for replication that says how old its oldest snapshot is.
//!
//! A standby with `hot_standby_feedback` says just this. That of a test may say any age, and needs no server of its own.

use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::support::{LIMIT, one};

/// A standby, for as long as this lives.
pub(super) struct Standby(UnixStream);

impl Standby {
    /// Begins to follow a server, by this slot if there is one.
    pub(super) async fn follow(pool: &PgPool, slot: Option<&str>) -> Self {
        let folder: String = one(
            pool,
            "select split_part(current_setting('unix_socket_directories'), ',', 1)",
        )
        .await;
        let stream = UnixStream::connect(format!("{folder}/.s.PGSQL.5432")).await;
        let mut standby = Self(stream.expect("connected"));
        let mut start = 196_608_i32.to_be_bytes().to_vec();
        start.extend(b"user\0postgres\0replication\0true\0application_name\0follower\0\0");
        standby.send(None, &start).await;
        standby.wait_for(b'Z').await;
        let position: String = one(pool, "select pg_current_wal_flush_lsn()::text").await;
        let slot = slot.map_or_else(String::new, |slot| format!("SLOT {slot} "));
        let follow = format!("START_REPLICATION {slot}PHYSICAL {position}\0");
        standby.send(Some(b'Q'), follow.as_bytes()).await;
        standby.wait_for(b'W').await;
        standby
    }

    /// Says that a query there still sees all that the server had at this transaction.
    pub(super) async fn hold(&mut self, transaction: u32) {
        let mut feedback = b"h".to_vec();
        feedback.extend(0_i64.to_be_bytes());
        feedback.extend(transaction.to_be_bytes());
        feedback.extend([0; 12]);
        self.send(Some(b'd'), &feedback).await;
    }

    async fn send(&mut self, kind: Option<u8>, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).expect("a short message");
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.extend(body);
        self.0.write_all(&message).await.expect("sent");
    }

    async fn wait_for(&mut self, wanted: u8) {
        let reading = async {
            loop {
                let kind = self.0.read_u8().await.expect("an answer");
                let length = self.0.read_u32().await.expect("its length");
                let mut body = vec![0; length as usize - 4];
                self.0.read_exact(&mut body).await.expect("the rest");
                assert_ne!(kind, b'E', "{}", String::from_utf8_lossy(&body));
                if kind == wanted {
                    return;
                }
            }
        };
        let read: Result<(), _> = timeout(LIMIT, reading).await;
        read.expect("it answers in time");
    }
}

/// Has the server come to so many transactions that what a standby holds is old.
pub(super) async fn grow_old(pool: &PgPool) {
    let before: i64 = one(pool, "select txid_current()").await;
    sqlx::raw_sql(
        "create table aged (n int);
         do $$
         begin
             for n in 1 .. 100100 loop
                 begin
                     insert into aged values (n);
                 exception when division_by_zero then
                     null;
                 end;
             end loop;
         end
         $$;
         drop table aged",
    )
    .execute(pool)
    .await
    .expect("aged");
    let after: i64 = one(pool, "select txid_current()").await;
    assert!(after - before > 100_000, "{before} to {after}");
}

//! Schedules, as the pages show and change them.

use reqwest::StatusCode;
use sqlx::PgPool;

use super::site;
use crate::support::{database, execute, one};

/// What a worker would say that cannot read it.
const UNREADABLE: &str = "update taskq.schedule set error = 'this program knows no time zone `Europe/Zurick`', error_at = now(), next_tick = null";

/// A program declares a schedule, and somebody has changed its zone.
async fn spoilt(pool: &PgPool, name: &str) {
    let declare = "select taskq.declare_schedules(
        array[$1], array['{\"expression\": \"0 6 * * *\", \"timezone\": \"UTC\", \"task_type\": \"welcome\",
            \"payload\": {\"usr_id\": 1}, \"options\": {}, \"catch_up\": \"once\", \"overlap\": \"allow\", \"jitter\": 0}'::jsonb],
        3600)";
    let change = "select taskq.upsert_schedule($1, '0 6 * * *', 'welcome', '{\"usr_id\": 7}', 'Europe/Zurick',
        '{\"queue\": \"letters\", \"max_attempts\": 3, \"jitter\": 90}', by => 'grace')";
    for statement in [declare, change] {
        let said = sqlx::query(statement).bind(name).execute(pool);
        said.await.expect("said");
    }
    execute(pool, UNREADABLE).await;
}

#[tokio::test]
async fn a_change_that_is_undone_says_what_becomes_of_the_ticks_that_were_missed() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let name = "nightly <b> & co";
    spoilt(&pool, name).await;
    let overview = site.page("overview").await;
    assert!(
        overview.contains("and what was missed is made up"),
        "{overview}"
    );
    let fields = [("name", name), ("back", "overview")];
    let link = site.send("remove-schedule", &fields).await;
    let page = site.page(&link).await;
    assert!(
        page.contains("what was missed while no worker could read the change is made up at once")
            && !page.contains("Run nightly"),
        "{page}"
    );

    // Where workers could read it, nothing is made up, and it is run from the same place.
    spoilt(&pool, name).await;
    execute(
        &pool,
        "update taskq.schedule set error = null, next_tick = now() + interval '1 hour'",
    )
    .await;
    let link = site.send("remove-schedule", &fields).await;
    let page = site.page(&link).await;
    assert!(
        page.contains("What was missed before is not made up")
            && page.contains("Run nightly &#60;b&#62; &#38; co now"),
        "{page}"
    );
    let schedules = site.page("schedules").await;
    assert!(
        schedules.contains("has never ticked by itself") && !schedules.contains("by hand"),
        "{schedules}"
    );
    site.send("run-schedule", &[("name", name)]).await;
    let schedules = site.page("schedules").await;
    assert!(schedules.contains("last run by hand"), "{schedules}");
}

#[tokio::test]
async fn a_schedule_is_corrected_and_all_else_stays_as_it_was() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    spoilt(&pool, "nightly").await;
    let overview = site.page("overview").await;
    assert!(
        overview.contains("href=\"schedule?name=nightly\""),
        "{overview}"
    );
    let form = site.page("schedule?name=nightly").await;
    for part in [
        "value=\"Europe/Zurick\"",
        "value=\"letters\"",
        "value=\"90s\"",
        "this program knows no time zone",
        "said by grace",
    ] {
        assert!(form.contains(part), "{part}: {form}");
    }
    let fields = [
        ("name", "nightly"),
        ("expression", "0 6 * * *"),
        ("timezone", "Europe/Zurick"),
        ("type", "welcome"),
        ("payload", "{\"usr_id\": 7}"),
        ("catch_up", "once"),
        ("overlap", "skip"),
        ("jitter", "90s"),
        ("queue", "letters"),
        ("reason", "Zurick is no place"),
    ];
    let with = |name: &str, value: &'static str| {
        let mut fields = fields;
        fields
            .iter_mut()
            .find(|it| it.0 == name)
            .expect("a field")
            .1 = value;
        fields
    };
    for (name, value, says) in [
        ("timezone", "Europe/Zurick", "did you mean `Europe/Zurich`?"),
        ("jitter", "soon", "`soon` is no time"),
        ("payload", "{\"usr_id\": \"x\"}", "does not fit `welcome`"),
        ("type", "welcom", "did you mean `welcome`?"),
    ] {
        let mut fields = with(name, value);
        if name != "timezone" {
            fields[2].1 = "Europe/Zurich";
        }
        let (status, page) = site.refused("upsert-schedule", &fields).await;
        let page = page
            .replace("&#60;", "<")
            .replace("&#96;", "`")
            .replace("&#34;", "\"");
        assert!(
            status == StatusCode::UNPROCESSABLE_ENTITY
                && page.contains(says)
                && page.contains("Zurick is no place"),
            "{says}: {page}"
        );
    }
    let (status, _) = site
        .refused("upsert-schedule", &with("overlap", "some"))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let fields = with("timezone", "Europe/Zurich");
    let link = site.send("upsert-schedule", &fields).await;
    let page = site.page(&link).await;
    assert!(page.contains("is changed, and what was missed"), "{page}");
    let held: String = one(
        &pool,
        "select concat_ws(' ', timezone, task_type, payload, options, catch_up, overlap, jitter, made_by, reason)
         from taskq.schedule_definition where declared_until is null",
    )
    .await;
    assert_eq!(
        held,
        "Europe/Zurich welcome {\"usr_id\": 7} {\"queue\": \"letters\", \"priority\": 0, \"max_attempts\": 3} once skip 90 ada Zurick is no place"
    );
    let link = site.send("upsert-schedule", &fields).await;
    assert!(site.page(&link).await.contains("was so already"));
}

#[tokio::test]
async fn a_schedule_is_made_on_the_page() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    let form = site.page("schedule").await;
    assert!(form.contains("Make a schedule"), "{form}");
    let fields = [
        ("new", "1"),
        ("name", "weekly"),
        ("expression", "0 6 * * MON"),
        ("timezone", "Europe/Zurich"),
        ("type", "welcome"),
        ("payload", "{\"usr_id\": 7}"),
        ("catch_up", "all"),
        ("catch_up_within", "2h"),
    ];
    let link = site.send("upsert-schedule", &fields).await;
    assert!(site.page(&link).await.contains("Schedule weekly is made"));
    let within: f64 = one(
        &pool,
        "select catch_up_within from taskq.schedule_definition",
    )
    .await;
    assert_eq!(within, 7_200.0);
    let (status, page) = site.refused("upsert-schedule", &fields).await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY
            && page.contains("there is a schedule weekly already"),
        "{page}"
    );
    let missing = site
        .get("schedule?name=monthly")
        .send()
        .await
        .expect("an answer");
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn secret_values_of_a_schedule_stay_where_the_form_has_the_mask() {
    let (_database, pool) = database().await;
    let site = site(&pool).await;
    execute(
        &pool,
        "insert into taskq.secret_field (task_type, field) values ('card', 'number')",
    )
    .await;
    execute(
        &pool,
        "select taskq.upsert_schedule('pay', '@daily', 'card', '{\"number\": \"4242\", \"usr_id\": 1}')",
    )
    .await;
    let form = site.page("schedule?name=pay").await;
    assert!(form.contains("***") && !form.contains("4242"), "{form}");
    let fields = [
        ("name", "pay"),
        ("expression", "0 3 * * *"),
        ("timezone", "UTC"),
        ("type", "card"),
        ("payload", "{\"number\": \"***\", \"usr_id\": 1}"),
    ];
    // Of a type that this program does not know: its payload stays, and nothing is to be checked.
    site.send("upsert-schedule", &fields).await;
    let payload: String = one(&pool, "select payload::text from taskq.schedule_definition").await;
    assert_eq!(payload, "{\"number\": \"4242\", \"usr_id\": 1}");
}

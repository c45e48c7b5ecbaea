//! Which pages there are, and which of their faces are measured.

use anyhow::{Result, bail};
use sqlx::PgPool;
use taskq::dashboard::ROUTES;

/// A page as somebody asks for it.
pub struct Place {
    /// With its filter in plain text.
    pub name: String,
    pub path: String,
    /// Whether it is one of those of which viewers are counted.
    pub is_watched: bool,
}

/// Filters: each term, in places that hold much, with and without a match.
const FILTERS: [&str; 31] = [
    "",
    "state:waiting",
    "state:due",
    "state:scheduled",
    "state:running",
    "state:dead",
    "state:quarantined",
    "state:refused",
    "state:completed",
    "queue:mail",
    "queue:queue_3",
    "queue:nobody",
    "type:kind_7",
    "type:kind_1*",
    "type:nobody",
    "state:completed type:nobody",
    "payload.usr_id:42",
    "payload.usr_id:nobody",
    "state:completed payload.usr_id:nobody",
    "error:quota",
    "error:nobody",
    "state:dead error:nobody",
    "older:2d",
    "older:30d",
    "newer:1h",
    "state:completed older:5d",
    "state:dead older:2d payload.usr_id:nobody",
    "cause:CAUSE",
    "cause:CAUSE payload.usr_id:nobody",
    "cause:0000000000000000",
    "id:4",
];

/// Returns every page that there is.
pub async fn all(pool: &PgPool) -> Result<Vec<Place>> {
    let cause: String =
        sqlx::query_scalar("select cause from taskq.dead order by finished_at desc limit 1")
            .fetch_one(pool)
            .await?;
    let mut places = Vec::new();
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        for query in faces(route.path)? {
            let query = query.replace("CAUSE", &cause);
            let (name, path) = match query.as_str() {
                "" => (route.path.to_owned(), route.path.to_owned()),
                query => (
                    format!("{}?{query}", route.path),
                    format!("{}?{}", route.path, encoded(query)),
                ),
            };
            places.push(Place {
                is_watched: ["overview", "tasks", "causes", "queues"].contains(&name.as_str()),
                name,
                path,
            });
        }
    }
    Ok(places)
}

/// Returns the queries with which a page is measured; fails for a page that this bench does not know.
fn faces(page: &str) -> Result<Vec<String>> {
    let of = |queries: &[&str]| queries.iter().map(|it| (*it).to_owned()).collect();
    Ok(match page {
        "overview" => of(&["", "hours=6", "hours=24"]),
        "tasks" => FILTERS
            .iter()
            .map(|filter| match *filter {
                "" => String::new(),
                filter => format!("q={filter}"),
            })
            .collect(),
        // One that waits, runs, is dead, has completed, was refused.
        "task" => of(&[
            "id=4",
            "id=300000101",
            "id=100000005",
            "id=200000005",
            "id=400000005",
        ]),
        "causes" => of(&[
            "",
            "q=newer:1h",
            "q=type:kind_7",
            "q=queue:queue_3",
            "q=error:nobody",
            "q=payload.usr_id:nobody",
        ]),
        "audit" => of(&["", "before=1000"]),
        "bulk" => of(&["id=500"]),
        "schedule" => of(&["", "name=schedule_7"]),
        "queues" | "limits" | "schedules" | "workers" | "bulks" | "enqueue" => of(&[""]),
        "theme" => of(&["to=dark"]),
        // What open pages are told: measured by viewers.
        "events" => Vec::new(),
        page => bail!("say with which queries the page {page} is measured"),
    })
}

fn encoded(query: &str) -> String {
    let encode = |byte: u8| match byte {
        b'=' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    query.bytes().map(encode).collect()
}

//! The broken morning: the doctor names each trouble, and each is mended from a shell, from `top` and from the page.

use std::process::Output;

use reqwest::redirect::Policy;
use serde_json::Value;
use sqlx::PgPool;
use taskq::testing::Database;
use tokio::process::Command;

use crate::program::{Program, path_of, wait_for};

/// Says a command as a shell takes it.
async fn shell(url: &str, command: &str) -> Output {
    let script = format!("exec {} {command}", path_of("morning").display());
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("DATABASE_URL", url)
        .output();
    output.await.unwrap()
}

/// Returns what the doctor finds, but for what is so on the server of tests, and the exit code.
async fn doctor(url: &str) -> (Vec<Value>, Option<i32>) {
    let output = shell(url, "doctor --patience 0s --json").await;
    let found: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let is_staged = |it: &Value| match it["problem"].as_str() {
        Some("setting" | "connections") => false,
        Some("open transaction") => it["said"].as_str().unwrap().contains("as forgotten"),
        _ => true,
    };
    (
        found.into_iter().filter(is_staged).collect(),
        output.status.code(),
    )
}

fn problems(found: &[Value]) -> Vec<&str> {
    found
        .iter()
        .map(|it| it["problem"].as_str().unwrap())
        .collect()
}

/// What is left of the morning while no worker works.
const WITHOUT_A_WORKER: [&str; 4] = ["lease", "pace", "pace", "vanished worker"];

/// Waits until a worker has rescued and run all that there was, and nothing is wrong but that another one vanished.
async fn all_runs(url: &str, pool: &PgPool) {
    wait_for("a morning in which all is well", async || {
        let (left, code) = doctor(url).await;
        (problems(&left) == ["vanished worker"] && code == Some(0)).then_some(())
    })
    .await;
    wait_for("all of it to run", async || {
        let left =
            "select count(*) from taskq.tasks where state in ('waiting', 'running', 'discarded')";
        (number(pool, left).await == 0).then_some(())
    })
    .await;
    let faxes = "select count(*) from taskq.dead where state = 'cancelled'";
    assert_eq!(
        number(pool, faxes).await,
        7,
        "nobody knows how to send them"
    );
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn the_doctor_names_each_trouble_of_a_broken_morning_and_what_mends_it() {
    let database = Database::empty().await.unwrap();
    let url = database.url();
    let mut stage = Program::start("morning", &["stage"], &url);
    stage.line_with("staged;").await;

    let (found, code) = doctor(&url).await;
    assert_eq!(code, Some(1), "there are errors");
    let expected = [
        "lease",
        "paused",
        "schedule",
        "unserved",
        "dead",
        "dead",
        "dead",
        "limit",
        "open transaction",
        "vanished worker",
    ];
    assert_eq!(problems(&found), expected, "{found:#?}");
    let said = |problem: &str| {
        let it = found.iter().find(|it| it["problem"] == problem);
        it.unwrap()["said"].as_str().unwrap()
    };
    for (problem, part) in [
        ("dead", "the first 5 hours ago and the last 3 hours ago"),
        ("paused", "queue mail has been paused for 3 hours"),
        ("paused", "by ada (SMTP is down)"),
        (
            "unserved",
            "7 tasks of type send_fax wait in queue default, and no living worker knows that type; the oldest has been due for 20 minutes",
        ),
        ("open transaction", "has had a transaction open for"),
        ("open transaction", "with the program month_end.py from "),
        (
            "vanished worker",
            "was last seen 3 minutes ago and has not said that it stopped; 3 of its tasks wait to be rescued",
        ),
        (
            "lease",
            "3 tasks are in leases that ended more than a minute ago",
        ),
        (
            "schedule",
            "schedule nightly does not tick: for 2 hours no worker has been able to read it: this program knows no time zone `Europe/Zurick`",
        ),
        (
            "limit",
            "queue reports is limited to nothing by ada for 4 hours (the disk was full)",
        ),
    ] {
        assert!(said(problem).contains(part), "{part}: {}", said(problem));
    }

    // Each is mended by the command that the doctor says.
    let pool = database.pool();
    for ailment in &found {
        if let Some(command) = ailment["command"].as_str() {
            let yes = if command.contains("--all") {
                " --yes"
            } else {
                ""
            };
            let output = shell(&url, &format!("{command}{yes}")).await;
            assert!(output.status.success(), "{command}: {output:?}");
            let before = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(before.starts_with("database "), "{before}");
        }
    }
    // The rest says in words that a worker is missing.
    let (left, _) = doctor(&url).await;
    assert_eq!(problems(&left), WITHOUT_A_WORKER, "{left:#?}");
    let worker = Program::start("morning", &["run"], &url);
    all_runs(&url, &pool).await;
    let (left, _) = doctor(&url).await;
    let forget = left[0]["command"].as_str().unwrap();
    let output = shell(&url, forget).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(doctor(&url).await, (Vec::new(), Some(0)));
    assert!(worker.interrupt().await.success());
    assert!(stage.interrupt().await.success());
}

/// Presses keys in `top`, and returns the last screen.
async fn top(url: &str, steps: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/it/terminal.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(path_of("morning"))
        .arg("top --patience 0s --as-user grace")
        .args(steps)
        .env("DATABASE_URL", url)
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .kill_on_drop(true)
        .output();
    let output = output.await.expect("python3");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let out = text(&output.stdout);
    assert!(output.status.success(), "{}\n{out}", text(&output.stderr));
    assert!(out.ends_with("<restored>\n"), "{out}");
    out
}

#[tokio::test]
async fn each_trouble_is_mended_from_a_terminal() {
    let database = Database::empty().await.unwrap();
    let url = database.url();
    let mut stage = Program::start("morning", &["stage"], &url);
    stage.line_with("staged;").await;
    let pool = database.pool();
    let mut steps = vec!["warning".to_owned(), "w".to_owned()];
    let mut written = 0;
    for (row, keys, question, answer, result) in [
        ("too busy", "m", "Retry 1667 tasks?", "y", "1667 done"),
        ("timed out", "m", "Retry 1666 tasks?", "y", "1666 done"),
        (
            "has no address",
            "d",
            "Delete for good 1667 tasks?",
            "y",
            "1667 done",
        ),
        ("send_fax", "m", "Cancel 7 tasks?", "y", "7 done"),
        (
            "nightly does not tick",
            "m",
            "Undo the change to nightly?",
            "Zurick is no place\\r",
            "is undone",
        ),
        (
            "limited to nothing",
            "m",
            "Reset the limit of queue reports?",
            "there is room\\r",
            "queue reports is limited as programs declare",
        ),
        (
            "as forgotten",
            "m",
            "What it has not committed is rolled back",
            "nobody knows it\\r",
            "is ended",
        ),
        (
            "has been paused",
            "m",
            "Resume queue mail?",
            "SMTP is up\\r",
            "queue mail is resumed",
        ),
        // Not yet: this says what is missing.
        (
            "are in leases",
            "m",
            "start a worker: within a minute",
            "",
            "",
        ),
    ] {
        // The filter before is deleted, sign by sign.
        let before = "\\x7f".repeat(written);
        let row_is_there = format!("/{row}");
        steps.extend(["Trouble".to_owned(), format!("/{before}{row}\\r")]);
        steps.extend([row_is_there, keys.to_owned()]);
        if answer.is_empty() {
            steps.extend([question.to_owned(), "q".to_owned()]);
        } else {
            steps.extend([question.to_owned(), answer.to_owned()]);
            steps.extend([result.to_owned(), String::new()]);
        }
        written = row.chars().count();
    }
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    top(&url, &steps).await;
    let (left, _) = doctor(&url).await;
    assert_eq!(problems(&left), WITHOUT_A_WORKER, "{left:#?}");

    let worker = Program::start("morning", &["run"], &url);
    all_runs(&url, &pool).await;
    let forget = [
        "warning",
        "w/vanished\\r",
        "/vanished esc shows all",
        "m",
        "Forget the worker?",
        "the machine is gone\\r",
        "is forgotten",
        "q",
    ];
    top(&url, &forget).await;
    assert_eq!(doctor(&url).await, (Vec::new(), Some(0)));
    let unnamed = "select count(*) from taskq.audit where by = 'grace' and verb = any (array[
        'retry', 'discard', 'cancel', 'undo', 'reset limits', 'end session', 'resume', 'forget'])";
    assert_eq!(number(&pool, unnamed).await, 9, "each has a name");
    let reasons = "select count(*) from taskq.audit where by = 'grace' and reason is not null";
    assert_eq!(number(&pool, reasons).await, 5);
    assert!(worker.interrupt().await.success());
    assert!(stage.interrupt().await.success());
}

/// A form of a page: where it is sent, and what is in it.
#[derive(Debug, Clone, PartialEq)]
struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    let value = value.replace("&#34;", "\"").replace("&#39;", "'");
    Some(value.replace("&#38;", "&").replace("&amp;", "&"))
}

/// Returns the forms of a page, as a browser sends them if nobody types anything.
fn forms(html: &str) -> Vec<Form> {
    let form = |text: &str| {
        let (head, rest) = text.split_once('>')?;
        let body = rest.split("</form>").next()?;
        let inputs = body.split("<input").skip(1);
        let inputs = inputs.filter_map(|it| it.split('>').next());
        let field = |tag: &str| {
            let value = attribute(tag, "value").unwrap_or_default();
            Some((attribute(tag, "name")?, value))
        };
        Some(Form {
            action: attribute(head, "action")?,
            fields: inputs.filter_map(field).collect(),
        })
    };
    html.split("<form").skip(1).filter_map(form).collect()
}

struct Site {
    base: String,
    token: String,
    client: reqwest::Client,
}

impl Site {
    async fn page(&self, page: &str) -> String {
        let request = self.client.get(format!("{}{page}", self.base));
        let response = request.bearer_auth(&self.token).send().await.unwrap();
        assert!(response.status().is_success(), "{page}");
        response.text().await.unwrap()
    }

    /// Sends a form, and returns the page to which it leads.
    async fn send(&self, form: &Form) -> String {
        let request = self.client.post(format!("{}{}", self.base, form.action));
        let request = request.bearer_auth(&self.token);
        let request = request.header("sec-fetch-site", "same-origin");
        let response = request.form(&form.fields).send().await.unwrap();
        let location = response.headers().get("location").cloned();
        let text = response.text().await.unwrap();
        let location = location.unwrap_or_else(|| panic!("{form:?}: {text}"));
        self.page(location.to_str().unwrap()).await
    }
}

/// Returns each trouble of the overview: its text, and its forms. What is so on the server of tests is not among them.
fn troubles(html: &str) -> Vec<(String, Vec<Form>)> {
    let (_, list) = html
        .split_once("<ul class=\"troubles\">")
        .unwrap_or_default();
    let list = list.split("</ul>").next().unwrap_or_default();
    let trouble = |item: &str| {
        let text = item.split("<p class=\"what\">").nth(1).unwrap();
        let text = text.split("</p>").next().unwrap().to_owned();
        (text, forms(item))
    };
    let is_staged = |(text, _): &(String, Vec<Form>)| {
        let is_of_server = ["setting", "The server allows"].iter();
        let mut is_of_server = is_of_server.filter(|it| text.contains(**it));
        let is_open = text.contains("transaction open") && !text.contains("as forgotten");
        is_of_server.next().is_none() && !is_open && !text.contains(" is off")
    };
    let items = list.split("<li class=").skip(1).map(trouble);
    items.filter(is_staged).collect()
}

#[tokio::test]
async fn each_trouble_is_mended_from_the_page_by_what_the_overview_offers() {
    let mut program = Program::start("morning", &["page"], "");
    let link = program.line_with("http://").await;
    let (base, token) = link.trim().split_once("?token=").unwrap();
    let client = reqwest::Client::builder().redirect(Policy::none()).build();
    let site = Site {
        base: base.to_owned(),
        token: token.to_owned(),
        client: client.unwrap(),
    };
    let staged = [
        "timed out",
        "has no address",
        "too busy",
        "nightly does not tick",
        "send_fax",
        "limited to nothing",
        "as forgotten",
        "has been paused",
        "was last seen",
    ];
    wait_for("all that is wrong", async || {
        let troubles = troubles(&site.page("overview").await);
        let has = |part: &&str| troubles.iter().any(|(text, _)| text.contains(part));
        (staged.iter().all(has) && troubles.len() == staged.len()).then_some(())
    })
    .await;

    for part in staged {
        // What a living worker does first by itself, such as a rescue, has a bound.
        let form = wait_for(part, async || {
            let troubles = troubles(&site.page("overview").await);
            let found = troubles.into_iter().find(|(text, _)| text.contains(part));
            let (_, forms) = found?;
            forms.into_iter().next()
        })
        .await;
        let page = site.send(&form).await;
        if form.action != "freeze" {
            assert!(
                page.contains("role=\"status\""),
                "{part}: it says what was done"
            );
            continue;
        }
        // The number is shown, and asked for where it is large.
        let run = forms(&page).into_iter().find(|it| it.action == "run-bulk");
        let mut run = run.unwrap_or_else(|| panic!("{part}: {page}"));
        let title = page.split("<h1>").nth(1).unwrap();
        let title = title.split("</h1>").next().unwrap();
        let number: String = title.chars().filter(char::is_ascii_digit).collect();
        for (name, value) in &mut run.fields {
            if name == "typed" {
                value.clone_from(&number);
            }
        }
        site.send(&run).await;
    }
    wait_for("an overview without trouble", async || {
        let page = site.page("overview").await;
        troubles(&page).is_empty().then_some(())
    })
    .await;
    assert!(site.page("audit").await.contains("end session"));
    assert!(program.interrupt().await.success());
}

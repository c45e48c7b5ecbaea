//! A server that asks for no password: whoever has its link is let in.

use std::collections::BTreeSet;

use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode};
use taskq::dashboard::{self, Access, ROUTES};
use tokio::sync::oneshot;

use super::header;
use crate::support::database;

/// What a visitor finds at a server of which they know the address, and perhaps the link.
struct Local {
    address: String,
    link: String,
    client: reqwest::Client,
}

impl Local {
    fn get(&self, page: &str) -> RequestBuilder {
        self.client.get(format!("http://{}/{page}", self.address))
    }

    /// Opens the link, and returns the cookie.
    async fn cookie(&self) -> String {
        let response = self.client.get(&self.link).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header(&response, "refresh"), "0; url=overview");
        assert_eq!(header(&response, "cache-control"), "no-store");
        let cookie = header(&response, "set-cookie");
        for flag in ["; Path=/", "; HttpOnly", "; SameSite=Strict"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        let cookie = cookie.split(';').next().expect("a value");
        cookie.to_owned()
    }
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.expect("an answer").status()
}

/// Serves the pages on loopback while somebody tries them.
async fn on_loopback(test: impl AsyncFnOnce(Local)) {
    let (_database, pool) = database().await;
    let server = dashboard::server(taskq::operate(&pool));
    let bound = server.bind("127.0.0.1:0".parse().expect("an address"));
    let bound = bound.await.expect("bound");
    let client = reqwest::Client::builder().redirect(Policy::none()).build();
    let local = Local {
        address: bound.address().to_string(),
        link: bound.link(),
        client: client.expect("a client"),
    };
    let debug = format!("{bound:?}");
    let token = local.link.split_once("?token=").expect("a token").1;
    assert!(token.len() >= 64 && !debug.contains(token), "{debug}");
    let (stop, stopped) = oneshot::channel::<()>();
    let run = bound.run_until(async {
        stopped.await.ok();
    });
    let test = async {
        test(local).await;
        drop(stop);
    };
    let (ended, ()) = tokio::join!(run, test);
    ended.expect("it ends in order");
}

#[tokio::test]
async fn nobody_is_let_in_without_the_link_wherever_they_come_from() {
    on_loopback(async |local| {
        for route in ROUTES {
            let method = route.method.parse().expect("a method");
            let url = format!("http://{}/{}", local.address, route.path);
            let request = local.client.request(method, url);
            let request = request.header("sec-fetch-site", "same-origin");
            assert_eq!(
                status(request).await,
                StatusCode::FORBIDDEN,
                "{}",
                route.path
            );
        }
        // A proxy that adds no header comes from here as well, and names this address.
        for page in [
            "",
            "overview",
            "nothing",
            "?token=",
            "?token=x",
            "overview?token=x",
        ] {
            assert_eq!(
                status(local.get(page)).await,
                StatusCode::FORBIDDEN,
                "{page}"
            );
        }
        let response = local.get("overview").send().await.expect("an answer");
        let text = response.text().await.expect("text");
        assert!(text.contains("open the link"), "{text}");
        let cookie = local.cookie().await;
        let name = cookie.split('=').next().expect("a name");
        for wrong in [
            format!("{name}=x"),
            format!("{name}="),
            name.to_owned(),
            cookie[..cookie.len() - 1].to_owned(),
        ] {
            let request = local.get("overview").header("cookie", &wrong);
            assert_eq!(status(request).await, StatusCode::FORBIDDEN, "{wrong}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_link_gives_a_cookie_with_which_everything_is_allowed() {
    on_loopback(async |local| {
        let cookie = local.cookie().await;
        for cookie in [cookie.clone(), format!("a=b; {cookie}; taskq-theme=dark")] {
            let request = local.get("overview").header("cookie", cookie);
            assert_eq!(status(request).await, StatusCode::OK);
        }
        let token = local.link.split_once("?token=").expect("a token").1;
        assert_eq!(
            status(local.get("tasks").bearer_auth(token)).await,
            StatusCode::OK
        );
        // The token is taken at one address alone, from which it is led away.
        assert_eq!(
            status(local.get(&format!("tasks?token={token}"))).await,
            StatusCode::FORBIDDEN
        );
        let pause = local.client.post(format!("http://{}/pause", local.address));
        let pause = pause
            .header("cookie", &cookie)
            .form(&[("scope", "queue"), ("name", "mail")]);
        let foreign = pause.try_clone().expect("a form");
        assert_eq!(
            status(foreign.header("sec-fetch-site", "same-site")).await,
            StatusCode::FORBIDDEN
        );
        let own = pause.header("sec-fetch-site", "same-origin");
        assert_eq!(status(own).await, StatusCode::SEE_OTHER);
    })
    .await;
}

#[tokio::test]
async fn a_foreign_name_that_leads_here_opens_nothing() {
    on_loopback(async |local| {
        let cookie = local.cookie().await;
        let path = local.link.rsplit('/').next().expect("a path").to_owned();
        for host in [
            "rebound.example",
            "localhost.rebound.example",
            "127.0.0.1.nip.io:3001",
            "192.168.1.2",
            "",
        ] {
            let request = local.get("overview").header("cookie", &cookie);
            let request = request.header("host", host);
            assert_eq!(status(request).await, StatusCode::FORBIDDEN, "{host}");
            let response = local.get(&path).header("host", host).send().await;
            let response = response.expect("an answer");
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{host}");
            assert_eq!(header(&response, "set-cookie"), "");
        }
        // A tunnel from another port leads here by this machine's name.
        for host in ["localhost:9000", "127.0.0.1", "[::1]:3001"] {
            let request = local.get("overview").header("cookie", &cookie);
            assert_eq!(
                status(request.header("host", host)).await,
                StatusCode::OK,
                "{host}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn an_open_page_does_not_hold_the_server_up() {
    on_loopback(async |local| {
        let cookie = local.cookie().await;
        let open = local.get("events?page=overview").header("cookie", cookie);
        assert_eq!(status(open).await, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn each_start_has_a_link_of_its_own_and_a_password_none() {
    let (_database, pool) = database().await;
    let mut links = BTreeSet::new();
    for _ in 0..3 {
        let server = dashboard::server(taskq::operate(&pool));
        let bound = server
            .bind("127.0.0.1:0".parse().expect("an address"))
            .await;
        let link = bound.expect("bound").link();
        links.insert(link.split_once("?token=").expect("a token").1.to_owned());
    }
    assert_eq!(links.len(), 3);
    let server = dashboard::server(taskq::operate(&pool)).access(Access::basic("ada", "all"));
    let bound = server
        .bind("127.0.0.1:0".parse().expect("an address"))
        .await;
    let bound = bound.expect("bound");
    assert_eq!(bound.link(), format!("http://{}/overview", bound.address()));
}

//! Pages that show what the tables hold, and on which operators act.
//!
//! The router is mounted under any prefix of an axum application:
//!
//! ```no_run
//! use axum::Router;
//! use taskq::dashboard::{self, Access};
//!
//! # fn f(pool: sqlx::PgPool, password: String) -> Router {
//! let pages = dashboard::router(taskq::operate(&pool)).access(Access::basic("ada", password));
//! // As a service it has the prefix with a slash at its end and without one.
//! Router::new().nest_service("/admin/tasks", pages)
//! # }
//! ```
//!
//! Or it is served alone. On a loopback address it lets in whoever has its link, which has a token that is new with each
//! start, and on another it refuses to without [`Access`]:
//!
//! ```no_run
//! # async fn f(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
//! let server = taskq::dashboard::server(taskq::operate(&pool));
//! let bound = server.bind("127.0.0.1:3001".parse()?).await?;
//! println!("{}", bound.link());
//! bound.run_until(taskq::shutdown_signal()).await?;
//! # Ok(()) }
//! ```
//!
//! Everything that the pages show and do goes through [`Operator`]. The pages work without a script; with it they show
//! what changes. However many people watch a page, one look at the database serves them all.

mod access;
mod assets;
mod board;
#[cfg(feature = "cron")]
mod calendar_words;
mod chart;
mod csrf;
mod failure;
mod form;
mod frame;
mod guard;
mod live;
mod pages;
mod parameters;
mod reader;
mod request;
mod routes;
mod said;
mod serve;
mod text;
mod token;
mod trouble;

use axum::Router;

pub use self::access::{Access, May, Visitor};
use self::board::{Board, Shown};
pub use self::routes::{ROUTES, Route};
pub use self::serve::{Bound, ServeError, Server};
use crate::operate::pause::Operator;
#[cfg(feature = "cli")]
use crate::task::registration::Registration;
use crate::task::registration::TaskSet;

/// Makes a router of the pages for an application, once it is said who is let in: [`Mount::access`].
pub fn router(operator: Operator) -> Mount {
    Mount {
        shown: Shown {
            operator,
            only: None,
        },
    }
}

/// Makes a server of the pages alone.
pub fn server(operator: Operator) -> Server {
    Server::new(Shown {
        operator,
        only: None,
    })
}

/// Makes a server for a program that may have said which handlers are its own.
#[cfg(feature = "cli")]
pub(crate) fn server_of(operator: Operator, only: Option<Vec<Registration>>) -> Server {
    Server::new(Shown { operator, only })
}

/// The pages, of which nobody has said yet who is let in.
#[derive(Debug)]
#[must_use = "say who is let in: `.access(...)`"]
pub struct Mount {
    shown: Shown,
}

impl Mount {
    /// Takes these task types for those that this program declares, in place of all that are linked into it, as
    /// [`WorkerBuilder::only`](crate::WorkerBuilder::only) does.
    pub fn only<S: TaskSet>(mut self) -> Self {
        self.shown.only = Some(S::__registrations());
        self
    }

    /// Says who is let in, and makes the router. An application that has checked already says so:
    /// [`Access::checked_already`].
    pub fn access(self, access: Access) -> Router {
        routes::router(&Board::new(self.shown, access, routes::live_page))
    }
}

//! Who may see the pages, and who may act there.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderValue;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::request::{authorization, is_for_this_machine, is_same};
use super::token::Token;

/// What somebody may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum May {
    /// See all pages.
    Look,
    /// Change one thing: retry a task, pause a queue, change a limit.
    Act,
    /// Do something to all tasks that match a filter.
    Bulk,
}

/// Somebody who has been let in, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    name: Option<String>,
    may: May,
}

impl Visitor {
    /// Somebody of this name, by which the audit knows them. They may look.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            may: May::Look,
        }
    }

    /// Says what they may do.
    pub fn may(self, may: May) -> Self {
        Self { may, ..self }
    }

    /// Somebody who has the link of the server, for whom the audit has the name of the database role.
    pub(super) fn local() -> Self {
        Self {
            name: None,
            may: May::Bulk,
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn right(&self) -> May {
        self.may
    }
}

/// How it is decided who is let in.
///
/// ```
/// use taskq::dashboard::{Access, May, Visitor};
///
/// // Two people, and a program that sends a token.
/// let access = Access::basic("ada", "correct horse")
///     .or(Access::basic("guest", "battery staple").only(May::Look))
///     .or(Access::bearer("monitoring", "0f9a6c1e").only(May::Look));
/// // The application knows better.
/// let access = Access::by(|request| {
///     let user = request.extensions.get::<String>()?;
///     Some(Visitor::new(user.as_str()).may(May::Act))
/// });
/// # let _ = access;
/// ```
///
/// An empty password or token lets nobody in: it is what an unset variable gives.
#[derive(Clone)]
pub struct Access {
    ways: Vec<Way>,
}

type Decide = Arc<dyn Fn(&Parts) -> Option<Visitor> + Send + Sync>;

#[derive(Clone)]
enum Way {
    Basic {
        visitor: Visitor,
        user: String,
        password: String,
    },
    Bearer {
        visitor: Visitor,
        token: String,
    },
    By {
        decide: Decide,
        most: May,
    },
    Checked(Visitor),
    Linked(Token),
}

impl Access {
    /// Asks for a name and a password, as browsers do. Who knows them may do everything: see [`only`](Self::only).
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        let user = user.into();
        Self::of(Way::Basic {
            visitor: Visitor::new(&user).may(May::Bulk),
            user,
            password: password.into(),
        })
    }

    /// Lets in who sends this token: `Authorization: Bearer …`. The audit knows them by the name.
    pub fn bearer(name: impl Into<String>, token: impl Into<String>) -> Self {
        Self::of(Way::Bearer {
            visitor: Visitor::new(name).may(May::Bulk),
            token: token.into(),
        })
    }

    /// Has the application decide for each request, from its headers and from what middleware has put beside them.
    pub fn by(decide: impl Fn(&Parts) -> Option<Visitor> + Send + Sync + 'static) -> Self {
        Self::of(Way::By {
            decide: Arc::new(decide),
            most: May::Bulk,
        })
    }

    /// Lets in whoever comes, since the application lets nobody come who may not: it has checked already. That it listens
    /// on a loopback address alone is no check: a proxy comes from there too, and so does the page of a foreign host whose
    /// name leads there.
    pub fn checked_already(visitor: Visitor) -> Self {
        Self::of(Way::Checked(visitor))
    }

    /// Lets in who has the link of a server that only this machine reaches.
    pub(super) fn linked(token: Token) -> Self {
        Self::of(Way::Linked(token))
    }

    /// Lets in those, too, whom the other lets in.
    pub fn or(mut self, other: Self) -> Self {
        self.ways.extend(other.ways);
        self
    }

    /// Lets those whom it lets in do no more than this.
    pub fn only(mut self, may: May) -> Self {
        for way in &mut self.ways {
            match way {
                Way::Basic { visitor, .. }
                | Way::Bearer { visitor, .. }
                | Way::Checked(visitor) => {
                    visitor.may = visitor.may.min(may);
                }
                Way::By { most, .. } => *most = may.min(*most),
                Way::Linked(_) => {}
            }
        }
        self
    }

    fn of(way: Way) -> Self {
        Self { ways: vec![way] }
    }

    /// Returns who asks, or how to ask again.
    pub(super) fn admit(&self, request: &Parts) -> Result<Visitor, Challenge> {
        let admitted = self.ways.iter().find_map(|way| way.admit(request));
        admitted.ok_or_else(|| self.challenge(request))
    }

    fn challenge(&self, request: &Parts) -> Challenge {
        let has = |is: fn(&Way) -> bool| self.ways.iter().any(is);
        if has(|way| matches!(way, Way::Basic { .. })) {
            Challenge::Basic
        } else if has(|way| matches!(way, Way::Bearer { .. })) {
            Challenge::Bearer
        } else if has(|way| matches!(way, Way::Linked(_))) {
            match is_for_this_machine(request) {
                true => Challenge::Link,
                false => Challenge::OtherHost,
            }
        } else {
            Challenge::Nothing
        }
    }

    /// Returns the cookie for a request that has the token of a link.
    pub(super) fn cookie(&self, request: &Parts) -> Option<HeaderValue> {
        let mut ways = self.ways.iter();
        ways.find_map(|way| match way {
            Way::Linked(token) if is_for_this_machine(request) => token.exchanged(request),
            _ => None,
        })
    }
}

/// How somebody who was not let in may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer,
    /// With the link of the server.
    Link,
    /// By a name of this machine.
    OtherHost,
    Nothing,
}

impl Way {
    fn admit(&self, request: &Parts) -> Option<Visitor> {
        match self {
            Self::Basic {
                visitor,
                user,
                password,
            } => {
                let given = STANDARD.decode(authorization(request, "basic")?).ok()?;
                let split = given.iter().position(|byte| *byte == b':')?;
                let (name, given) = (&given[..split], &given[split + 1..]);
                // Both are compared, whatever comes of the first.
                let fits = is_same(name, user.as_bytes()) & is_same(given, password.as_bytes());
                (fits && !password.is_empty()).then(|| visitor.clone())
            }
            Self::Bearer { visitor, token } => {
                let given = authorization(request, "bearer")?;
                let fits = is_same(given.as_bytes(), token.as_bytes());
                (fits && !token.is_empty()).then(|| visitor.clone())
            }
            Self::By { decide, most } => decide(request).map(|visitor| {
                let may = visitor.may.min(*most);
                visitor.may(may)
            }),
            Self::Checked(visitor) => Some(visitor.clone()),
            Self::Linked(token) => {
                (is_for_this_machine(request) && token.is_in(request)).then(Visitor::local)
            }
        }
    }
}

/// Without passwords and tokens.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.ways.iter().map(|way| match way {
            Way::Basic { user, .. } => format!("basic {user}"),
            Way::Bearer { visitor, .. } => format!("bearer {}", visitor.name().unwrap_or_default()),
            Way::By { .. } => "by the application".to_owned(),
            Way::Checked(_) => "checked already".to_owned(),
            Way::Linked(_) => "by a link".to_owned(),
        });
        f.debug_list().entries(ways).finish()
    }
}

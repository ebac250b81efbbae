//! Whether somebody may (contract §24): the fine-grained subresource is asked for first, then `proxy`.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hyper::{Method, Response, StatusCode};
use metrics::{Metrics, http::Review};
use seams::{
    Reviews,
    reviews::{NodeAccess, User},
};

use super::{
    ApiParts,
    answer::{Body, text},
    cache::Cache,
    counting,
    reviewing::{Line, Pace, ReviewError, Reviewing},
};
use crate::catalog::routes::{Access, Route, Verb};

/// Who asks is known, and asks for few things: the rate that upstream's client of the API server has by default.
const PACE: Pace = Pace { per_second: 50, burst: 100 };

/// Requests that wait for an answer on connections that have proven nothing: in all, and of one host. An API server's first
/// connection may bring as many at once as it has streams; each holds its head meanwhile.
const STRANGERS: usize = 1024;
pub(super) const STRANGERS_OF_HOST: usize = 256;

/// Why not.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The API server says no to all.
    Forbidden { user: String, verb: &'static str, subresources: &'static [&'static str] },
    /// It could not be asked.
    Failed { user: String, verb: &'static str, subresource: &'static str },
}

impl Refusal {
    /// In upstream's words.
    pub(super) fn answer(&self) -> Response<Body> {
        match self {
            Self::Forbidden { user, verb, subresources } => {
                let all = subresources.join(" ");
                let message =
                    format!("Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{all}])\n");
                text(StatusCode::FORBIDDEN, message)
            }
            Self::Failed { user, verb, subresource } => {
                let message = format!(
                    "Authorization error (user={user}, verb={verb}, resource=nodes, subresource={subresource})"
                );
                text(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}

/// Says who may.
pub(super) struct Authorizer {
    node: String,
    webhook: Option<Webhook>,
}

struct Webhook {
    reviews: Option<Arc<dyn Reviews>>,
    allowed_ttl: Duration,
    denied_ttl: Duration,
    known: Cache<(Arc<User>, NodeAccess), bool>,
    reviewing: Reviewing,
    strangers: Line,
    metrics: Arc<Metrics>,
}

impl Authorizer {
    pub(super) fn new(parts: &ApiParts) -> Self {
        let webhook = parts.access.access_ttls.map(|(allowed_ttl, denied_ttl)| Webhook {
            reviews: parts.reviews.clone(),
            allowed_ttl,
            denied_ttl,
            known: Cache::default(),
            reviewing: Reviewing::new(PACE),
            strangers: Line::new(STRANGERS, STRANGERS_OF_HOST),
            metrics: Arc::clone(&parts.metrics),
        });
        Self { node: parts.access.node_name.clone(), webhook }
    }

    /// Asks for what the route needs. `stranger` is the host of a connection that has proven nothing yet.
    pub(super) async fn check(
        &self,
        user: &Arc<User>,
        method: &Method,
        route: &Route,
        stranger: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        let Access::Node(verb, subresources) = route.access else { return Ok(()) };
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let verb = match verb {
            Verb::Create => "create",
            Verb::OfMethod => of_method(method),
        };
        for subresource in subresources {
            let access = NodeAccess { verb, subresource, node: self.node.clone() };
            match webhook.allows(user, access, stranger).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Whoever sends too many cannot fill the log as well.
                Err(ReviewError::Crowded) => {
                    return Err(Refusal::Failed { user: user.name.clone(), verb, subresource });
                }
                Err(error) => {
                    tracing::error!(
                        user = user.name,
                        verb,
                        subresource,
                        err = &error as &(dyn std::error::Error + 'static),
                        "Authorization error"
                    );
                    return Err(Refusal::Failed { user: user.name.clone(), verb, subresource });
                }
            }
        }
        tracing::info!(v = 2, user = user.name, verb, resource = "nodes", subresources = ?subresources, "Forbidden");
        Err(Refusal::Forbidden { user: user.name.clone(), verb, subresources })
    }
}

impl Webhook {
    async fn allows(
        &self,
        user: &Arc<User>,
        access: NodeAccess,
        stranger: Option<IpAddr>,
    ) -> Result<bool, ReviewError> {
        let key = (Arc::clone(user), access);
        if let Some(known) = self.known.get(&key) {
            return Ok(known);
        }
        let reviews = self.reviews.as_ref().ok_or(ReviewError::Standalone)?;
        let _place = stranger.map(|host| self.strangers.join(host)).transpose()?;
        let counts = &self.metrics.http;
        let allowed = self
            .reviewing
            .ask(|| counting::reviewed(counts, Review::Access, reviews.access(user, &key.1)))
            .await?;
        self.known.put(key, allowed, if allowed { self.allowed_ttl } else { self.denied_ttl });
        Ok(allowed)
    }
}

/// Upstream's mapping; other methods have no verb, which only `*` allows.
fn of_method(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "GET" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

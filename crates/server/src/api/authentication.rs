//! Who asks: client certificate, then bearer token, then nobody (contract §24 "Authn chain").
//!
//! As upstream's chain: a certificate that is not good does not stop a good token; but whoever showed something bad and
//! nothing good is refused, also where anonymous requests are let in. A token is in its header, or among the protocols of a
//! WebSocket.

use std::{net::IpAddr, sync::Arc};

use hyper::header::{AUTHORIZATION, HeaderMap};
use jiff::SignedDuration;
use metrics::{
    Metrics,
    http::{Cached, Fetched, Fetching, Review},
};
use rustls::{
    pki_types::{CertificateDer, UnixTime},
    server::danger::ClientCertVerifier,
};
use seams::{Clock, Reviews, reviews::User};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{
    ApiParts,
    cache::Cache,
    connection, counting,
    listener::Peer,
    protocol_token::{self, NoToken},
    reviewing::{Pace, ReviewError, Reviewing},
    tls::Tls,
};

const AUTHENTICATED: &str = "system:authenticated";
/// Longest token that is looked at, bytes.
const LONGEST_TOKEN: usize = 64 << 10;
/// Reviews of tokens: anybody can make some up, and a node is asked by a handful of callers, each once in its TTL.
const PACE: Pace = Pace { per_second: 10, burst: 50 };

/// Why somebody is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// Nothing was shown, and that is not enough here.
    #[error("no credentials were given")]
    Nothing,
    /// The certificate's chain does not lead to the client CA, or its time is over.
    #[error("the client certificate is not good: {0}")]
    Certificate(rustls::Error),
    /// The certificate says nobody's name.
    #[error("the client certificate cannot be read, or has no common name")]
    Nameless,
    /// Nobody's token.
    #[error("invalid bearer token")]
    Token,
    /// It could not be found out.
    #[error("the bearer token could not be reviewed: {0}")]
    Review(ReviewError),
}

/// Finds out who asks.
pub(super) struct Authenticator {
    tls: Option<Arc<Tls>>,
    anonymous: bool,
    tokens: Option<Tokens>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

struct Tokens {
    reviews: Option<Arc<dyn Reviews>>,
    ttl: std::time::Duration,
    /// By hash: a token in memory is a token in a core dump.
    known: Cache<[u8; 32], Arc<User>>,
    /// Nobody's. Kept apart: whoever makes up tokens makes no good one forgotten.
    nobodys: Cache<[u8; 32], ()>,
    reviewing: Reviewing,
    metrics: Arc<Metrics>,
}

impl Authenticator {
    pub(super) fn new(parts: &ApiParts, tls: Option<Arc<Tls>>) -> Self {
        let tokens = parts.access.token_ttl.map(|ttl| Tokens {
            reviews: parts.reviews.clone(),
            ttl,
            known: Cache::default(),
            nobodys: Cache::default(),
            reviewing: Reviewing::new(PACE),
            metrics: Arc::clone(&parts.metrics),
        });
        Self {
            tls,
            anonymous: parts.access.anonymous,
            tokens,
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
        }
    }

    /// Who asks.
    pub(super) async fn user(&self, headers: &HeaderMap, peer: &Peer) -> Result<Arc<User>, Unknown> {
        let mut refused = None;
        if let Some((own, chain)) = peer.certificates.split_first()
            && let Some(clients) = self.tls.as_ref().and_then(|tls| tls.current().clients.clone())
        {
            match self.of_certificate(&*clients, own, chain) {
                Ok(user) => return Ok(Arc::new(user)),
                // Upstream takes one without a name for none.
                Err(Unknown::Nameless) => {}
                Err(unknown) => refused = Some(unknown),
            }
        }
        if let Some(tokens) = &self.tokens {
            let of_protocol = protocol_token::token(headers);
            let of_header = bearer(headers).map(|token| Ok(token.to_owned()));
            for token in of_header.into_iter().chain(of_protocol) {
                let answer = match token {
                    Ok(token) if token.len() <= LONGEST_TOKEN => tokens.user(&token, peer.address.ip()).await,
                    Ok(_) | Err(NoToken) => Err(Unknown::Token),
                };
                match answer {
                    Ok(user) => return Ok(user),
                    Err(unknown) => refused = Some(unknown),
                }
            }
        }
        match refused {
            Some(unknown) => Err(unknown),
            None if self.anonymous => Ok(Arc::new(anonymous())),
            None => Err(Unknown::Nothing),
        }
    }

    fn of_certificate(
        &self,
        clients: &dyn ClientCertVerifier,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) -> Result<User, Unknown> {
        let seconds = u64::try_from(self.clock.now().wall.as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        clients.verify_client_cert(own, chain, now).map_err(Unknown::Certificate)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(own).map_err(|_| Unknown::Nameless)?;
        let left = parsed.validity().not_after.timestamp().saturating_sub(self.clock.now().wall.as_second());
        self.metrics.http.certificate_life.observe(SignedDuration::from_secs(left).as_secs_f64());
        let subject = parsed.subject();
        let texts = |values: Vec<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            values.into_iter().filter_map(|value| value.as_str().ok().map(str::to_owned)).collect::<Vec<_>>()
        };
        // The last one counts, as with Go.
        let name = texts(subject.iter_common_name().collect()).pop().unwrap_or_default();
        if name.is_empty() {
            return Err(Unknown::Nameless);
        }
        let groups = texts(subject.iter_organization().collect());
        Ok(authenticated(User { name, groups, ..User::default() }))
    }
}

impl Tokens {
    async fn user(&self, token: &str, address: IpAddr) -> Result<Arc<User>, Unknown> {
        let began = Instant::now();
        let key: [u8; 32] = Sha256::digest(token).into();
        let known = self.known(&key);
        let cached = if known.is_some() { Cached::Hit } else { Cached::Miss };
        let answer = match known {
            Some(known) => known,
            None => self.review(token, key, address).await,
        };
        self.metrics.http.tokens.inc(&cached);
        self.metrics.http.token_seconds.took(&cached, began.elapsed());
        answer
    }

    fn known(&self, key: &[u8; 32]) -> Option<Result<Arc<User>, Unknown>> {
        match self.known.get(key) {
            Some(user) => Some(Ok(user)),
            None => self.nobodys.get(key).map(|()| Err(Unknown::Token)),
        }
    }

    async fn review(&self, token: &str, key: [u8; 32], address: IpAddr) -> Result<Arc<User>, Unknown> {
        let reviews = self.reviews.as_ref().ok_or(Unknown::Review(ReviewError::Standalone))?;
        // A scraper asks for several pages at once.
        let host = connection::host(address);
        let _alone = self.reviewing.alone(key, host).await.map_err(Unknown::Review)?;
        if let Some(known) = self.known(&key) {
            return known;
        }
        let _place = self.reviewing.line_up(host).map_err(Unknown::Review)?;
        let counts = &self.metrics.http;
        let under_way = counts.token_fetches_under_way.of(&Fetching::InFlight);
        under_way.add(1.0);
        let asked =
            self.reviewing.ask(|| counting::reviewed(counts, Review::Token, reviews.token(token))).await;
        under_way.add(-1.0);
        counts.token_fetches.inc(if asked.is_ok() { &Fetched::Ok } else { &Fetched::Error });
        let user = asked.map_err(Unknown::Review)?;
        let Some(user) = user else {
            self.nobodys.put(key, (), self.ttl);
            return Err(Unknown::Token);
        };
        let user = Arc::new(authenticated(user));
        self.known.put(key, Arc::clone(&user), self.ttl);
        Ok(user)
    }
}

/// `Authorization: Bearer TOKEN`; an empty token is none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    let is_one = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST_TOKEN;
    is_one.then_some(token)
}

fn authenticated(mut user: User) -> User {
    if !user.groups.iter().any(|group| group == AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

fn anonymous() -> User {
    User {
        name: "system:anonymous".to_owned(),
        groups: vec!["system:unauthenticated".to_owned()],
        ..User::default()
    }
}

//! The API server as its administrator sees it, over kept connections: a request costs a hundredth of the processor time
//! that a run of kubectl costs, and tests make thousands of them.

use std::{fmt::Write as _, fs, io::Read, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use ureq::{
    Agent,
    http::{Request, StatusCode},
    tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig},
};

use crate::{plan::Plan, wait};

/// Longest for an answer to begin: long enough for a machine that has everything else to do too.
const BOUND: Duration = Duration::from_secs(60);
/// How long an unused connection is kept.
const KEPT: Duration = Duration::from_secs(15);

/// Who may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// Whose certificate is the lab's.
    OfTheLab,
    /// Whoever it is.
    Anyone,
}

/// TLS with the administrator's certificate.
///
/// # Errors
/// A key or certificate of the lab cannot be read.
pub(crate) fn tls(plan: &Plan, server: Server) -> Result<TlsConfig> {
    let pem = |name: &str| {
        let path = plan.paths.pki_file(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let authority = Certificate::from_pem(&pem("ca.crt")?)?;
    let certificate = Certificate::from_pem(&pem("admin.crt")?)?;
    let key = PrivateKey::from_pem(&pem("admin.key")?)?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[authority]))
        .client_cert(Some(ClientCert::new_with_certs(&[certificate], key)))
        .disable_verification(server == Server::Anyone)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    Ok(tls.build())
}

/// A client with the administrator's certificate.
///
/// Paths are those of the REST API. One without a `/` in front is in the namespace `default`: `pods/a`.
#[derive(Debug)]
pub struct Api {
    agent: Agent,
    server: String,
}

impl Api {
    /// For a lab with a control plane.
    ///
    /// # Errors
    /// A key or certificate of the lab cannot be read.
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        Self::keeping(plan, KEPT)
    }

    /// The same; unused connections are kept for so long.
    ///
    /// # Errors
    /// As [`Api::new`].
    pub(crate) fn keeping(plan: &Plan, kept: Duration) -> Result<Self> {
        let agent = Agent::config_builder()
            .tls_config(tls(plan, Server::OfTheLab)?)
            .http_status_as_error(false)
            .max_idle_age(kept)
            // To the request: the body of a watch may take for ever.
            .timeout_recv_response(Some(BOUND))
            .timeout_connect(Some(BOUND))
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self { agent, server: plan.api_server() })
    }

    /// Succeeds when the server says that it is ready.
    ///
    /// # Errors
    /// What it says else.
    pub(crate) fn ready(&self) -> Result<()> {
        let (status, text) = self.ask("GET", "/readyz", "json", "")?;
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&text));
        Ok(())
    }

    /// An object, or a list.
    ///
    /// # Errors
    /// It is not there, or the server cannot be reached.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, "json", "")
    }

    /// An object, if it is there.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        match self.ask("GET", path, "json", "")? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            answer => accepted("GET", path, answer).map(Some),
        }
    }

    /// Whether a condition of an object is True.
    pub(crate) fn look(&self, path: &str, condition: &str) -> wait::Look<()> {
        let object = match self.get(path) {
            Ok(object) => object,
            Err(error) => return wait::Look::NotYet(format!("{error:#}")),
        };
        let mut all = object["status"]["conditions"].as_array().into_iter().flatten();
        match all.find(|found| found["type"] == condition) {
            Some(found) if found["status"] == "True" => wait::Look::Ready(()),
            found => wait::Look::NotYet(format!("{found:?}")),
        }
    }

    /// The objects of one kind that a selector chooses: `("pods", "app=x")`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn selected(&self, kind: &str, labels: &str) -> Result<Vec<Value>> {
        self.listed(&format!("{kind}?labelSelector={}", encoded(labels)))
    }

    /// The events of which some fields are so: `involvedObject.name=x,reason=y`.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn events(&self, fields: &str) -> Result<Vec<Value>> {
        self.listed(&format!("events?fieldSelector={}", encoded(fields)))
    }

    fn listed(&self, path: &str) -> Result<Vec<Value>> {
        match self.get(path)?["items"].take() {
            Value::Array(items) => Ok(items),
            other => bail!("{path} is no list: {other}"),
        }
    }

    /// A request with a body of the content type `application/KIND`.
    ///
    /// # Errors
    /// The server refuses, with its reason; or it cannot be reached.
    pub fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> Result<Value> {
        accepted(method, path, self.ask(method, path, kind, body)?)
    }

    /// An answer that is read while it comes: a watch.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub(crate) fn open(&self, path: &str) -> Result<impl Read + 'static> {
        let answer = self.agent.get(self.url(path)).call().with_context(|| format!("GET {path}"))?;
        ensure!(answer.status().is_success(), "GET {path}: the API server answers {}", answer.status());
        Ok(answer.into_body().into_reader())
    }

    fn url(&self, path: &str) -> String {
        let place = if path.starts_with('/') { "" } else { "/api/v1/namespaces/default/" };
        format!("{}{place}{path}", self.server)
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Result<(StatusCode, Vec<u8>)> {
        let request = Request::builder()
            .method(method)
            .uri(self.url(path))
            .header("Content-Type", format!("application/{kind}"))
            .body(body.as_bytes().to_vec())?;
        // DELETE has no body here, but ureq must be told that it may.
        let request = self.agent.configure_request(request).allow_non_standard_methods(true).build();
        let answer = self.agent.run(request).with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        // To its end, so that the connection is kept.
        let text = answer.into_body().into_with_config().limit(u64::MAX).read_to_vec()?;
        Ok((status, text))
    }
}

/// The JSON of an answer that is no refusal.
fn accepted(method: &str, path: &str, (status, text): (StatusCode, Vec<u8>)) -> Result<Value> {
    if !status.is_success() {
        bail!("{method} {path}: the API server answers {status}: {}", String::from_utf8_lossy(&text));
    }
    let shown = || format!("{method} {path} got no JSON: {}", String::from_utf8_lossy(&text));
    serde_json::from_slice(&text).with_context(shown)
}

/// As it stands in a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut all, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => all.push(char::from(byte)),
            _ => drop(write!(all, "%{byte:02X}")),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_encoded() {
        assert_eq!(encoded("shape in (a, b-c)"), "shape%20in%20%28a%2C%20b-c%29");
    }

    #[test]
    fn a_refusal_is_shown_with_its_text() {
        let refused = accepted("GET", "pods/a", (StatusCode::FORBIDDEN, b"no".to_vec())).unwrap_err();
        assert_eq!(refused.to_string(), "GET pods/a: the API server answers 403 Forbidden: no");
        assert!(accepted("GET", "x", (StatusCode::OK, b"ok".to_vec())).is_err());
    }
}

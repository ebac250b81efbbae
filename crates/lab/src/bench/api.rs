//! The API server as the bench sees it: as administrator, over one kept connection, without kubectl's own time in between.

use std::{
    fs,
    io::BufReader,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use ureq::{
    Agent,
    http::{Request, Response},
    tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig},
};

use super::{
    pod::{BENCH_LABEL, Pod},
    watch::{Event, Kind, Stamp, Watch},
};
use crate::plan::Plan;

/// Longest for the API server to answer: long enough for a machine that has everything else to do too.
const REQUEST_BOUND: Duration = Duration::from_secs(60);
/// How long an unused connection is kept: longer than any pause of a bench, so that no measured request makes one.
const KEPT: Duration = Duration::from_secs(3600);
/// How long the API server is asked to keep the watch, in seconds: longer than any bench.
const WATCH_SECONDS: u32 = 86_400;

/// Who may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    /// Whose certificate is the lab's.
    OfTheLab,
    /// Whoever it is.
    Anyone,
}

/// TLS with the administrator's certificate.
///
/// # Errors
/// A key or certificate of the lab cannot be read.
pub(super) fn tls(plan: &Plan, server: Server) -> Result<TlsConfig> {
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

/// A client of the pods in the namespace `default`.
#[derive(Debug)]
pub(super) struct Api {
    agent: Agent,
    pods: String,
    node: String,
}

impl Api {
    /// A client with the administrator's certificate.
    ///
    /// # Errors
    /// A key or certificate of the lab cannot be read.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let agent = Agent::config_builder()
            .tls_config(tls(plan, Server::OfTheLab)?)
            .http_status_as_error(false)
            .max_idle_age(KEPT)
            // To the request: the body of a watch may take for ever.
            .timeout_recv_response(Some(REQUEST_BOUND))
            .timeout_connect(Some(REQUEST_BOUND))
            .proxy(None)
            .build()
            .new_agent();
        let pods = format!("{}/api/v1/namespaces/default/pods", plan.api_server());
        Ok(Self { agent, pods, node: plan.node_name.clone() })
    }

    fn send(&self, method: &str, url: &str, kind: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let request = Request::builder().method(method).uri(url).header("Content-Type", kind).body(body)?;
        // DELETE has no body here, but ureq must be told that it may.
        let request = self.agent.configure_request(request).allow_non_standard_methods(true).build();
        let answer = self.agent.run(request).with_context(|| format!("{method} {url}"))?;
        let (answer, status) = read(answer)?;
        if !status.is_success() {
            bail!("{method} {url}: the API server answers {status}: {}", answer["message"]);
        }
        Ok(answer)
    }

    /// Create a pod on the lab's node: its name is in it already, so no scheduler takes part.
    ///
    /// # Errors
    /// The API server refuses it.
    pub(super) fn create(&self, pod: &Value) -> Result<()> {
        let mut pod = pod.clone();
        pod["spec"]["nodeName"] = json!(self.node);
        self.send("POST", &self.pods, "application/json", &pod).map(|_| ())
    }

    /// Ask for a pod to be deleted; with its own grace period, or another in seconds.
    ///
    /// # Errors
    /// The API server refuses it.
    pub(super) fn delete(&self, name: &str, grace: Option<u32>) -> Result<()> {
        let query = grace.map(|seconds| format!("?gracePeriodSeconds={seconds}")).unwrap_or_default();
        let url = format!("{}/{name}{query}", self.pods);
        self.send("DELETE", &url, "application/json", &Value::Null).map(|_| ())
    }

    /// Add a toleration: the one change of a running pod's spec that concerns no container. It makes a new generation.
    ///
    /// # Errors
    /// The API server refuses it.
    pub(super) fn add_toleration(&self, name: &str, key: &str) -> Result<()> {
        let patch = json!([{
            "op": "add", "path": "/spec/tolerations/-", "value": { "key": key, "operator": "Exists" },
        }]);
        self.send("PATCH", &format!("{}/{name}", self.pods), "application/json-patch+json", &patch)
            .map(|_| ())
    }

    /// Watch the bench's pods from now on.
    ///
    /// # Errors
    /// The API server refuses it.
    pub(super) fn watch(&self) -> Result<Watch> {
        let query = format!("labelSelector={BENCH_LABEL}");
        let list = self.send("GET", &format!("{}?{query}", self.pods), "application/json", &Value::Null)?;
        let version = list["metadata"]["resourceVersion"].as_str().context("a list has no version")?;
        let url = format!(
            "{}?watch=true&{query}&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}",
            self.pods
        );
        let answer = self.agent.get(&url).call().context("cannot watch the bench's pods")?;
        if !answer.status().is_success() {
            bail!("cannot watch the bench's pods: the API server answers {}", answer.status());
        }
        let mut lines = BufReader::new(answer.into_body().into_reader());
        // The API server ends a watch whose reader lags behind: reading must not wait for parsing.
        let (raw, lines_read) = mpsc::channel();
        thread::spawn(move || {
            loop {
                let line = next_line(&mut lines);
                let ended = line.is_err();
                // Without a receiver the bench is over.
                if raw.send(line).is_err() || ended {
                    return;
                }
            }
        });
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in lines_read {
                if sender.send(line.and_then(|(at, line)| event(at, &line))).is_err() {
                    return;
                }
            }
        });
        Ok(Watch::new(receiver))
    }
}

/// The JSON of an answer, read to its end so that the connection is kept.
fn read(answer: Response<ureq::Body>) -> Result<(Value, ureq::http::StatusCode)> {
    let status = answer.status();
    let text = answer.into_body().into_with_config().limit(u64::MAX).read_to_vec()?;
    let answer = serde_json::from_slice(&text).context("the API server's answer is no JSON")?;
    Ok((answer, status))
}

/// The next line of a watch, stamped when it is whole.
fn next_line(lines: &mut impl std::io::BufRead) -> Result<(Stamp, String)> {
    let mut line = String::new();
    let length = lines.read_line(&mut line).context("the watch broke off")?;
    if length == 0 {
        bail!("the API server ended the watch");
    }
    Ok((Stamp::now(), line))
}

/// The event that a line of a watch tells.
fn event(at: Stamp, line: &str) -> Result<Event> {
    let event: Value = serde_json::from_str(line).context("an event is no JSON")?;
    let kind = match event["type"].as_str() {
        Some("ADDED") => Kind::Added,
        Some("MODIFIED") => Kind::Modified,
        Some("DELETED") => Kind::Deleted,
        _ => return Err(anyhow!("the watch says {}", line.trim())),
    };
    Ok(Event { at, kind, pod: Pod::of(&event["object"]).context("a pod without a name or uid")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_line_by_line_to_the_end() {
        let mut lines = std::io::Cursor::new(
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}}}\n\
             {\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}}}\n",
        );
        let mut next = || next_line(&mut lines).and_then(|(at, line)| event(at, &line));
        assert_eq!(next().unwrap().kind, Kind::Added);
        assert_eq!(next().unwrap().kind, Kind::Deleted);
        assert!(next().unwrap_err().to_string().contains("ended the watch"));
    }

    #[test]
    fn an_error_of_the_watch_is_shown() {
        let line = "{\"type\":\"ERROR\",\"object\":{\"message\":\"too old resource version\"}}\n";
        assert!(event(Stamp::now(), line).unwrap_err().to_string().contains("too old"));
    }
}

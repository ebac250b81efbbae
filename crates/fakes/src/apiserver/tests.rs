mod faults;
mod objects;
mod patches;
mod watches;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::FakeApi;

/// Longer than anything here takes; only a broken test waits so long.
const BOUND: Duration = Duration::from_secs(10);

/// A plain client of one fake.
struct Asker {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
}

impl Asker {
    fn new(api: &FakeApi) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), url: api.url() }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> http::Request<Full<Bytes>> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", content_type)
            .body(Full::new(body))
            .unwrap()
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.request(method, path, "application/json", &body);
        let (status, bytes) = self.send(request).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, Value::Null).await
    }

    async fn patch(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.request(Method::PATCH, path, "application/strategic-merge-patch+json", &body);
        let (status, bytes) = self.send(request).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn send(&self, request: http::Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }

    async fn watch(&self, path: &str) -> Events {
        let response = self
            .client
            .request(self.request(Method::GET, path, "application/json", &Value::Null))
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        Events { body: response.into_body(), rest: Vec::new() }
    }
}

/// The lines of a watch.
struct Events {
    body: Incoming,
    rest: Vec<u8>,
}

impl Events {
    /// The next event; `None` at the end of the watch.
    async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(BOUND, async {
            loop {
                if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.rest.drain(..=end).collect();
                    return Some(serde_json::from_slice(&line).unwrap());
                }
                let frame = self.body.frame().await?.unwrap();
                self.rest.extend_from_slice(&frame.into_data().unwrap());
            }
        })
        .await
        .expect("no event")
    }

    /// Type and object name of the next event.
    async fn named(&mut self) -> (String, String) {
        let event = self.next().await.expect("the watch ended");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn pod(name: &str, node: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "namespace": "a", "name": name },
        "spec": { "nodeName": node, "containers": [{ "name": "c" }], "terminationGracePeriodSeconds": 40 },
        "status": { "phase": "Running" },
    }))
    .unwrap()
}

fn pod_body(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c" }] },
        "status": { "phase": "Running" },
    })
}

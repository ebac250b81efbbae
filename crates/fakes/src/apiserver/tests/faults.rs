//! Faults, connections, TLS.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::{Asker, BOUND, FakeApi, pod, pod_body};
use crate::apiserver::{Fault, Matching, Network};

const PODS: &str = "/api/v1/namespaces/a/pods";

#[tokio::test]
async fn rules_hit_what_they_name_and_wear_out() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.faults().next(Matching::path("/pods").method("POST"), 2, Fault::Status(500));
    assert_eq!(asker.get(PODS).await.0, 200);
    for wanted in [500, 500, 201] {
        assert_eq!(asker.ask(Method::POST, PODS, pod_body("p")).await.0, wanted);
    }
    api.faults().next(Matching::any(), 1, Fault::RetryAfter(429, 7));
    let answer = asker.client.request(asker.request(Method::GET, PODS, "", &Value::Null)).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    api.faults().always(Matching::path("/pods").watch(false), Fault::Garbage);
    assert!(asker.get(PODS).await.1.is_null());
    assert!(asker.get(PODS).await.1.is_null());
    api.faults().clear();
    assert_eq!(asker.get(PODS).await.1["kind"], "PodList");
}

#[tokio::test]
async fn a_cut_before_and_a_cut_after() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let post =
        |name: &str| asker.send(asker.request(Method::POST, PODS, "application/json", &pod_body(name)));
    api.faults().next(Matching::any(), 1, Fault::Cut);
    assert!(post("before").await.is_err());
    assert!(api.get::<Pod>("a", "before").is_none());
    api.faults().next(Matching::any(), 1, Fault::DoneThenCut);
    assert!(post("after").await.is_err());
    assert!(api.get::<Pod>("a", "after").is_some(), "it was done");
    assert_eq!(api.requests().iter().filter(|request| request.answered.is_none()).count(), 2);
}

#[tokio::test]
async fn a_refusing_network_cuts_and_comes_back_on_the_same_port() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let mut events = asker
        .client
        .request(asker.request(Method::GET, &format!("{PODS}?watch=1"), "", &Value::Null))
        .await
        .unwrap();
    api.faults().network(Network::Refuse);
    let cut = tokio::time::timeout(BOUND, events.body_mut().frame()).await.unwrap();
    assert!(cut.is_none_or(|frame| frame.is_err()), "the watch is cut");
    // The port is closed by now: the same task cut the connection and closed it before.
    let refused = tokio::time::timeout(BOUND, async {
        loop {
            match tokio::net::TcpStream::connect(api.address()).await {
                Err(error) => return error,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(refused.await.unwrap().kind(), std::io::ErrorKind::ConnectionRefused);
    api.faults().network(Network::Up);
    let back = tokio::time::timeout(BOUND, async {
        while asker.send(asker.request(Method::GET, PODS, "", &Value::Null)).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    back.await.unwrap();
}

#[tokio::test]
async fn a_hanging_network_answers_later() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let mut events = asker.watch(&format!("{PODS}?watch=true")).await;
    api.faults().network(Network::Hang);
    let waiting = asker.get(PODS);
    tokio::pin!(waiting);
    let arrived = api.wait_until(BOUND, || (api.requests().len() == 2).then_some(()));
    tokio::select! {
        _ = &mut waiting => panic!("answered while hanging"),
        arrived = arrived => assert!(arrived.is_some()),
    }
    api.put(pod("p", "n"));
    let silent = tokio::time::timeout(Duration::from_millis(50), events.next()).await;
    assert!(silent.is_err(), "watches are silent: {silent:?}");
    api.faults().network(Network::Up);
    assert_eq!(waiting.await.0, 200);
    assert_eq!(events.named().await.0, "ADDED");
}

#[tokio::test]
async fn severed_connections_are_made_anew() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    asker.get(PODS).await;
    asker.get(PODS).await;
    let mut events = asker.watch(&format!("{PODS}?watch=true")).await;
    api.faults().sever_connections();
    let end = tokio::time::timeout(BOUND, events.body.frame()).await.unwrap();
    assert!(end.is_none_or(|frame| frame.is_err()));
    let again = tokio::time::timeout(BOUND, async {
        while asker.send(asker.request(Method::GET, PODS, "", &Value::Null)).await.is_err() {}
    });
    again.await.unwrap();
    let numbers: Vec<u64> = api.requests().iter().map(|request| request.connection).collect();
    assert_eq!(numbers[0], numbers[1], "kept alive: {numbers:?}");
    assert!(numbers.last() > numbers.first(), "{numbers:?}");
}

#[tokio::test]
async fn latency_and_lateness_are_waited_for() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let start = tokio::time::Instant::now();
    api.faults().latency(Duration::from_millis(30));
    api.faults().next(Matching::any(), 1, Fault::Late(Duration::from_millis(40)));
    asker.get(PODS).await;
    assert!(start.elapsed() >= Duration::from_millis(70));
}

#[tokio::test]
async fn tls_over_http2_with_a_client_certificate() {
    let api = FakeApi::start_tls().await;
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    roots.add(CertificateDer::from_pem_slice(api.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let client = api.client_certificate("system:node:n", "system:nodes").unwrap();
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(client.certificate_pem.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).unwrap(),
            )
            .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = tokio::net::TcpStream::connect(api.address()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("{}{PODS}", api.url())).body(Full::<Bytes>::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    let seen = &api.requests()[0];
    assert!(seen.http2);
    assert_eq!(seen.client.as_deref(), Some("system:node:n"));
    assert!(FakeApi::start().await.ca_pem().is_none());
}

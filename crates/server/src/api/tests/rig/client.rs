//! A client of the API.

use std::{collections::BTreeMap, io::Read as _, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Pair, Rig, SOON};

impl Rig {
    /// Connects, with a client certificate or without.
    pub(in crate::api::tests) async fn connect(
        &self,
        own: Option<&Pair>,
        protocols: &[&str],
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
                let key = ring::sign::any_supported_type(&PrivateKeyDer::from(key)).unwrap();
                // Shown whatever the server hints at.
                let key = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
                builder.with_client_cert_resolver(Arc::new(key))
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// One request on a connection of its own: status, body.
    pub(in crate::api::tests) async fn ask(&self, ask: Ask<'_>) -> (u16, String) {
        let (status, _, body) = self.ask_fully(ask).await;
        (status, body)
    }

    /// The same, with the headers of the answer.
    pub(in crate::api::tests) async fn ask_fully(
        &self,
        ask: Ask<'_>,
    ) -> (u16, BTreeMap<String, String>, String) {
        let mut request = Request::builder().method(ask.method).uri(ask.path).header("host", "localhost");
        if let Some(token) = ask.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(encoding) = ask.encoding {
            request = request.header("accept-encoding", encoding);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(ask.body.as_bytes()))).unwrap();
        let exchange = async {
            let response = if ask.plain {
                let stream = TcpStream::connect(self.address).await.unwrap();
                let (mut sender, http) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(http);
                sender.send_request(request).await.unwrap()
            } else if ask.http2 {
                let stream = self.connect(ask.own, &["h2"]).await;
                let (mut sender, http) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                        .await
                        .unwrap();
                tokio::spawn(http);
                sender.send_request(request).await.unwrap()
            } else {
                let stream = self.connect(ask.own, &["http/1.1"]).await;
                let (mut sender, http) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(http);
                sender.send_request(request).await.unwrap()
            };
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
            let is_compressed = head.headers.get("content-encoding").is_some_and(|coding| coding == "gzip");
            let body = if is_compressed { inflated(&body) } else { body.to_vec() };
            let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
            (head.status.as_u16(), headers.collect(), String::from_utf8(body).unwrap())
        };
        tokio::time::timeout(SOON, exchange).await.expect("an answer")
    }
}

fn inflated(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
    plain
}

/// A request.
#[derive(Clone, Debug)]
pub(in crate::api::tests) struct Ask<'a> {
    pub(in crate::api::tests) method: Method,
    pub(in crate::api::tests) path: &'a str,
    pub(in crate::api::tests) token: Option<&'a str>,
    pub(in crate::api::tests) own: Option<&'a Pair>,
    pub(in crate::api::tests) body: &'a str,
    pub(in crate::api::tests) http2: bool,
    pub(in crate::api::tests) plain: bool,
    /// Value of `Accept-Encoding`.
    pub(in crate::api::tests) encoding: Option<&'a str>,
}

/// GET a path with the token of `admin`.
pub(in crate::api::tests) fn get(path: &str) -> Ask<'_> {
    Ask {
        method: Method::GET,
        path,
        token: Some("t-admin"),
        own: None,
        body: "",
        http2: false,
        plain: false,
        encoding: None,
    }
}

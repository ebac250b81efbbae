use std::{convert::Infallible, sync::Arc};

use hyper_util::server::conn::auto;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::*;

fn action(value: serde_json::Value) -> HTTPGetAction {
    serde_json::from_value(value).unwrap()
}

/// A server that gives each connection the next answer, and what it was asked.
async fn server(answers: &[&str]) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers: Vec<String> =
        answers.iter().map(|answer| answer.replace("PORT", &port.to_string())).collect();
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            asked.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (port, serving)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn headers_are_ours_unless_the_action_names_them() {
    let (port, serving) = server(&[OK, OK]).await;
    let plain = action(json!({"port": port, "path": "/a b?c=d"}));
    let url = url(&plain, "127.0.0.1", port);
    assert_eq!(get(&url, &plain, Purpose::Hook).await.unwrap().status(), 200);
    let own = action(json!({"port": port, "path": "x", "httpHeaders": [
        {"name": "User-Agent", "value": "me"}, {"name": "Accept", "value": ""}, {"name": "Host", "value": "h.test"},
        {"name": "X-A", "value": "1"}, {"name": "X-A", "value": "2"},
    ]}));
    let second = super::url(&own, "127.0.0.1", port);
    assert_eq!(get(&second, &own, Purpose::Probe).await.unwrap().status(), 200);
    let asked = serving.await.unwrap();
    let first = asked[0].to_lowercase();
    assert!(first.starts_with("get /a%20b?c=d http/1.1\r\n"), "{first}");
    assert!(
        first.contains("user-agent: kube-lifecycle/1.37\r\n") && first.contains("accept: */*\r\n"),
        "{first}"
    );
    let second = asked[1].to_lowercase();
    for part in ["get /x http/1.1\r\n", "user-agent: me\r\n", "host: h.test\r\n", "x-a: 1\r\n", "x-a: 2\r\n"]
    {
        assert!(second.contains(part), "{second}");
    }
    assert!(!second.contains("accept:"), "{second}");
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let here = to("http://127.0.0.1:PORT/two");
    let (port, serving) = server(&[&here, &to("/three"), OK, &to("http://other.test/")]).await;
    let action = action(json!({"port": port}));
    let url = url(&action, "127.0.0.1", port);
    assert_eq!(get(&url, &action, Purpose::Probe).await.unwrap().status(), 200);
    assert_eq!(get(&url, &action, Purpose::Probe).await.unwrap().status(), 302);
    let asked = serving.await.unwrap();
    assert!(asked[1].starts_with("GET /two ") && asked[2].starts_with("GET /three "), "{asked:?}");
}

#[tokio::test]
async fn a_redirect_may_be_relative_and_hold_what_no_url_does() {
    let (port, serving) = server(&[&to("login form"), OK]).await;
    let action = action(json!({"port": port, "path": "/app/health"}));
    let url = url(&action, "127.0.0.1", port);
    assert_eq!(get(&url, &action, Purpose::Probe).await.unwrap().status(), 200);
    let asked = serving.await.unwrap();
    assert!(asked[1].starts_with("GET /app/login%20form "), "{asked:?}");
}

#[tokio::test]
async fn the_tenth_redirect_is_one_too_many() {
    let around = to("/");
    for (answers, told) in
        [([&[around.as_str(); 9][..], &[OK][..]].concat(), None), (vec![around.as_str(); 10], Some(()))]
    {
        let (port, serving) = server(&answers).await;
        let action = action(json!({"port": port}));
        let url = url(&action, "127.0.0.1", port);
        let error = get(&url, &action, Purpose::Probe).await.err();
        let expected = told.map(|()| format!("Get \"{url}\": stopped after 10 redirects"));
        assert_eq!(error.map(|error| error.to_string()), expected);
        assert_eq!(serving.await.unwrap().len(), 10);
    }
}

#[tokio::test]
async fn a_plain_server_behind_an_https_action_is_recognised() {
    let (port, _serving) = server(&["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"]).await;
    let action = action(json!({"port": port, "scheme": "HTTPS"}));
    let url = url(&action, "127.0.0.1", port);
    let error = get(&url, &action, Purpose::Hook).await.unwrap_err();
    assert!(matches!(error.cause, Cause::NotTls), "{error}");
}

#[tokio::test]
async fn nobody_there_is_told_as_go_tells_it() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let action = action(json!({"port": free}));
    let url = url(&action, "127.0.0.1", free);
    let error = get(&url, &action, Purpose::Hook).await.unwrap_err().to_string();
    assert_eq!(error, format!("Get \"{url}\": dial tcp 127.0.0.1:{free}: connect: connection refused"));
}

#[test]
fn headers_that_would_smuggle_others_are_refused() {
    let action = action(json!({"port": 1, "httpHeaders": [{"name": "X", "value": "a\r\nY: b"}]}));
    assert!(request(&"http://h/".parse().unwrap(), &action, Purpose::Hook).is_err());
}

/// A server over TLS that speaks these protocols, and the heads of what it is asked.
async fn tls_server(protocols: &[&str]) -> (u16, mpsc::UnboundedReceiver<http::request::Parts>) {
    let made = rcgen::generate_simple_self_signed(vec!["h.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heads, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
                heads.send(request.into_parts().0).unwrap();
                async { Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new())) }
            });
            let connection = auto::Builder::new(TokioExecutor::new());
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        }
    });
    (port, asked)
}

#[tokio::test]
async fn probes_speak_http2_where_the_server_does() {
    for protocols in [&["h2"][..], &["h2", "http/1.1"][..]] {
        let (port, mut asked) = tls_server(protocols).await;
        let action = action(json!({"port": port, "path": "/a?b=c", "scheme": "HTTPS", "httpHeaders": [
            {"name": "Host", "value": "h.test"}, {"name": "X-A", "value": "1"},
        ]}));
        let url = url(&action, "127.0.0.1", port);
        let answer = get(&url, &action, Purpose::Probe).await.unwrap();
        assert_eq!(answer.status(), 200);
        let head = asked.recv().await.unwrap();
        assert_eq!(head.version, http::Version::HTTP_2);
        assert_eq!(head.uri.to_string(), "https://h.test/a?b=c");
        assert_eq!(head.headers["user-agent"], "kube-probe/1.37");
        assert_eq!(head.headers["accept"], "*/*");
        assert_eq!(head.headers["x-a"], "1");
        assert!(!head.headers.contains_key("host") && !head.headers.contains_key("connection"));
    }
}

#[tokio::test]
async fn hooks_and_servers_that_choose_nothing_speak_http1() {
    let nothing: &[&str] = &[];
    for (protocols, purpose) in [
        (nothing, Purpose::Probe),
        (&["http/1.1"][..], Purpose::Probe),
        (&["h2", "http/1.1"][..], Purpose::Hook),
    ] {
        let (port, mut asked) = tls_server(protocols).await;
        let action = action(json!({"port": port, "scheme": "HTTPS"}));
        let url = url(&action, "127.0.0.1", port);
        assert_eq!(get(&url, &action, purpose).await.unwrap().status(), 200, "{protocols:?}");
        assert_eq!(asked.recv().await.unwrap().version, http::Version::HTTP_11, "{protocols:?}");
    }
}

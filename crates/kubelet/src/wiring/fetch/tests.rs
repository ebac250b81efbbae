use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// A server on the loopback device that gives each connection the next answer. Both ends of the device are its hosts:
/// `127.0.0.1` and `localhost`.
struct Server {
    port: u16,
    asked: JoinHandle<Vec<String>>,
}

impl Server {
    /// `PORT` in an answer stands for the server's port.
    async fn start(answers: &[String]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Vec<String> =
            answers.iter().map(|answer| answer.replace("PORT", &port.to_string())).collect();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                asked.push(String::from_utf8(request).unwrap().to_lowercase());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        Self { port, asked }
    }

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<String, String> {
        let source = ManifestUrl {
            url: url.replace("PORT", &self.port.to_string()),
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            frequency: Duration::from_secs(20),
        };
        manifest(&source)().await.map(|body| String::from_utf8(body).unwrap())
    }

    /// The requests, in small letters.
    async fn asked(self) -> Vec<String> {
        self.asked.await.unwrap()
    }
}

fn ok() -> String {
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned()
}

fn to(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nmore")
}

/// Values of a header, in order.
fn values<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    request.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[tokio::test]
async fn redirects_are_followed() {
    let hops = [
        to(301, "other?x=1"),
        to(302, "../up"),
        to(303, "//localhost:PORT/host"),
        to(307, "http://127.0.0.1:PORT/whole path#part"),
        to(308, "/last"),
        ok(),
    ];
    let server = Server::start(&hops).await;
    assert_eq!(server.get("http://127.0.0.1:PORT/a/b/pods", &[]).await.as_deref(), Ok("{}"));
    let asked = server.asked().await;
    let paths: Vec<&str> = asked.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(
        paths,
        [
            "get /a/b/pods http/1.1",
            "get /a/b/other?x=1 http/1.1",
            "get /a/up http/1.1",
            "get /host http/1.1",
            "get /whole%20path http/1.1",
            "get /last http/1.1",
        ]
    );
}

#[tokio::test]
async fn redirects_end_somewhere() {
    let round = vec![to(302, "/again"); redirect::REQUESTS];
    let server = Server::start(&round).await;
    let error = server.get("http://127.0.0.1:PORT/", &[]).await.unwrap_err();
    assert_eq!(error, "stopped after 10 redirects");
    assert_eq!(server.asked().await.len(), 10);

    let nowhere = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned();
    let no_redirect = to(300, "/choice");
    let server =
        Server::start(&[to(302, "ftp://127.0.0.1:PORT/"), to(302, "http://"), nowhere, no_redirect]).await;
    for expected in [
        "the URL is neither http nor https",
        "failed to parse Location header \"http://\"",
        "HTTP status 302 Found",
        "HTTP status 300 Multiple Choices",
    ] {
        assert_eq!(server.get("http://127.0.0.1:PORT/", &[]).await, Err(expected.to_owned()));
    }
}

#[tokio::test]
async fn secrets_stay_with_their_host() {
    let secrets = [("Authorization", "Bearer t"), ("cookie", "c=1"), ("X-Own", "1"), ("X-Own", "2")];
    let server = Server::start(&[
        to(302, "/same"),
        to(302, "http://localhost:PORT/other"),
        to(302, "http://127.0.0.1:PORT/back"),
        ok(),
    ])
    .await;
    assert!(server.get("http://127.0.0.1:PORT/", &secrets).await.is_ok());
    let asked = server.asked().await;
    let sent: Vec<bool> =
        asked.iter().map(|request| values(request, "authorization") == ["bearer t"]).collect();
    assert_eq!(sent, [true, true, false, false]);
    let sent: Vec<bool> = asked.iter().map(|request| values(request, "cookie") == ["c=1"]).collect();
    assert_eq!(sent, [true, true, false, false]);
    assert!(asked.iter().all(|request| values(request, "x-own") == ["1", "2"]), "{asked:?}");
}

#[tokio::test]
async fn a_name_and_a_password_in_the_url_become_a_header() {
    let server =
        Server::start(&[to(302, "relative"), to(302, "http://127.0.0.1:PORT/whole"), ok(), ok(), ok()]).await;
    let url = "http://me:p%40ss:w%2@127.0.0.1:PORT/a";
    assert!(server.get(url, &[("Host", "h.test"), ("Content-Length", "7")]).await.is_ok());
    assert!(server.get(url, &[("authorization", "Bearer t")]).await.is_ok());
    assert!(server.get("http://me@127.0.0.1:PORT/", &[("authorization", "")]).await.is_ok());
    let host = format!("127.0.0.1:{}", server.port);
    let asked = server.asked().await;
    let basic = |text: &str| format!("basic {}", STANDARD.encode(text)).to_lowercase();
    let sent: Vec<Vec<&str>> = asked.iter().map(|request| values(request, "authorization")).collect();
    let (both, name) = (basic("me:p@ss:w%2"), basic("me:"));
    assert_eq!(sent, [vec![both.as_str()], vec![&both], vec![], vec!["bearer t"], vec![&name]]);
    for request in &asked {
        assert_eq!(values(request, "host"), [host.as_str()], "{request}");
        assert!(values(request, "content-length").is_empty(), "{request}");
    }
}

#[test]
fn domains() {
    for (host, other, expected) in [
        ("h.test", "h.test", true),
        ("H.test", "h.TEST", true),
        ("a.h.test", "h.test", true),
        ("ah.test", "h.test", false),
        ("h.test", "a.h.test", false),
        ("::1", "::1", true),
        ("::1%.h.test", "h.test", false),
    ] {
        assert_eq!(is_at_or_below(host, other), expected, "{host} {other}");
    }
}

//! Who is let in, route by route.

use hyper::Method;
use tokio::{io::AsyncWriteExt as _, time::timeout};

use super::{
    rig::{Ask, Authority, Rig, SOON, Setup, get},
    streams::head,
};
use crate::catalog::routes::{Access, ROUTES, Server, Verb};

/// A path of a route.
fn filled(pattern: &str) -> String {
    let path = pattern.replace("{namespace}", "ns").replace("{pod}", "pod").replace("{uid}", "uid");
    let path = path.replace("{container}", "c").replace("{*path}", "").replace("{*profile}", "");
    assert!(!path.contains('{'), "{path}");
    path
}

#[tokio::test]
async fn every_route_wants_credentials_and_a_right() {
    let rig = Rig::start(Setup::default()).await;
    rig.judge.allow("admin", "*", "*");
    for route in ROUTES.iter().filter(|route| route.server == Server::Main) {
        let path = filled(route.path);
        let Access::Node(verb, subresources) = route.access else { panic!("{path} is open") };
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let ask = Ask { method: method.clone(), ..get(&path) };
            let head = method == Method::HEAD;
            let (status, body) = rig.ask(Ask { token: None, ..ask.clone() }).await;
            assert_eq!((status, body == "Unauthorized" || head), (401, true), "{method} {path}");
            let (status, body) = rig.ask(Ask { token: Some("nobodys"), ..ask.clone() }).await;
            assert_eq!((status, body == "Unauthorized" || head), (401, true), "{method} {path}");
            let (status, body) = rig.ask(Ask { token: Some("t-eve"), ..ask.clone() }).await;
            let verb = match (verb, method.as_str()) {
                (Verb::Create, _) | (_, "POST") => "create",
                (_, "GET") => "get",
                (_, "PUT") => "update",
                (_, "DELETE") => "delete",
                _ => "",
            };
            let text = format!(
                "Forbidden (user=eve, verb={verb}, resource=nodes, subresource(s)=[{}])\n",
                subresources.join(" ")
            );
            assert_eq!((status, body == text || head), (403, true), "{method} {path}: {body}");
            let (status, body) = rig.ask(ask).await;
            assert!(!matches!(status, 401 | 403), "{method} {path}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn the_fine_grained_right_is_asked_for_first_and_answers_are_kept() {
    let rig = Rig::start(Setup::default()).await;
    rig.judge.allow("reader", "get", "pods");
    rig.judge.allow("old", "get", "proxy");
    let asked = |user: &str| {
        let asked = rig.judge.asked.lock();
        asked
            .iter()
            .filter(|(name, _)| name == user)
            .map(|(_, access)| access.subresource)
            .collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert_eq!(rig.ask(Ask { token: Some("t-reader"), ..get("/pods") }).await.0, 200);
        assert_eq!(rig.ask(Ask { token: Some("t-old"), ..get("/pods/") }).await.0, 200);
        assert_eq!(rig.ask(Ask { token: Some("t-eve"), ..get("/pods") }).await.0, 403);
        assert_eq!(rig.ask(Ask { token: Some("bad"), ..get("/pods") }).await.0, 401);
    }
    assert_eq!(asked("reader"), ["pods"]);
    assert_eq!(asked("old"), ["pods", "proxy"]);
    assert_eq!(asked("eve"), ["pods", "proxy"]);
    assert_eq!(rig.judge.tokens.lock().len(), 4, "each token once");
    // To run a command is to create, also by GET.
    assert_eq!(rig.ask(Ask { token: Some("t-old"), ..get("/exec/ns/pod/c?output=1") }).await.0, 403);
    assert_eq!(rig.ask(Ask { token: Some("t-old"), ..get("/containerLogs/ns/pod/c") }).await.0, 200);
}

#[tokio::test]
async fn a_client_certificate_is_a_user_and_a_bad_one_is_401() {
    let rig = Rig::start(Setup { anonymous: true, ..Setup::default() }).await;
    rig.judge.allow("apiserver", "*", "*");
    rig.judge.allow("system:anonymous", "*", "healthz");
    rig.judge.allow("admin", "*", "*");
    let good = rig.authority.issue("apiserver", "kubeadm:cluster-admins", &[]);
    let bad = Authority::new("test").issue("apiserver", "system:masters", &[]);
    let nameless = rig.authority.issue("", "system:masters", &[]);
    let with = |own, token| Ask { own: Some(own), token, ..get("/pods") };
    assert_eq!(rig.ask(with(&good, None)).await.0, 200);
    // The same over HTTP/2.
    assert_eq!(rig.ask(Ask { http2: true, ..with(&good, None) }).await.0, 200);
    assert_eq!(rig.ask(with(&bad, None)).await, (401, "Unauthorized".to_owned()));
    // Not even what is open to everybody, but a good token is good.
    let health = Ask { path: "/healthz", ..with(&bad, None) };
    assert_eq!(rig.ask(health).await.0, 401);
    assert_eq!(rig.ask(with(&bad, Some("t-admin"))).await.0, 200);
    // Nothing shown, or nobody's name: anonymous.
    assert_eq!(rig.ask(Ask { token: None, ..get("/healthz") }).await, (200, "ok".to_owned()));
    assert_eq!(rig.ask(Ask { path: "/healthz", ..with(&nameless, None) }).await.0, 200);
    assert_eq!(rig.ask(Ask { token: None, ..get("/pods") }).await.0, 403);
    let asked = rig.judge.asked.lock();
    assert!(asked.iter().all(|(_, access)| access.node == "node"));
}

#[tokio::test]
async fn many_requests_of_one_token_are_one_review() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let asks = (0..40).map(async |_| rig.ask(get("/pods")).await.0);
    let answers = futures::future::join_all(asks).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert_eq!(rig.judge.tokens.lock().len(), 1);
}

#[tokio::test]
async fn a_token_among_the_protocols_of_a_web_socket_is_good() {
    let rig = Rig::start(Setup::default()).await;
    rig.judge.allow("admin", "*", "*");
    for (token, status) in [("t-admin", 400), ("bad", 401)] {
        let mut stream = rig.connect(None, &["http/1.1"]).await;
        let entry = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, token);
        let request = format!(
            "GET /exec/ns/pod/c HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-protocol: base64url.bearer.authorization.k8s.io.{entry}, v4.channel.k8s.io\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        // No stream is asked for: who may ask is told so.
        let answer = timeout(SOON, head(&mut stream)).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn without_an_answer_nobody_is_let_in() {
    let rig = Rig::start(Setup::default()).await;
    rig.judge.allow("admin", "*", "*");
    *rig.judge.down.lock() = true;
    let (status, body) = rig.ask(get("/configz")).await;
    let text = "Authorization error (user=admin, verb=get, resource=nodes, subresource=configz)";
    assert_eq!((status, body.as_str()), (500, text));
    *rig.judge.down.lock() = false;
    assert_eq!(rig.ask(get("/configz")).await.0, 200, "a failure is not kept");
}

#[tokio::test]
async fn what_is_switched_off_says_so() {
    let mut setup = Setup { access_ttls: None, ..Setup::default() };
    setup.switches.debugging = false;
    let rig = Rig::start(setup).await;
    for path in [
        "/exec/ns/pod/c",
        "/attach/ns/pod/c",
        "/portForward/ns/pod",
        "/containerLogs/ns/pod/c",
        "/logs/",
        "/runningpods/",
    ] {
        assert_eq!(rig.ask(get(path)).await, (405, "Debug endpoints are disabled.\n".to_owned()), "{path}");
    }
    assert_eq!(rig.ask(get("/configz")).await.0, 404);
    assert_eq!(rig.ask(get("/pods")).await.0, 200);
    let mut setup = Setup { access_ttls: None, ..Setup::default() };
    (setup.switches.system_logs, setup.switches.profiling, setup.switches.debug_flags) =
        (false, false, false);
    let rig = Rig::start(setup).await;
    for (path, text) in [
        ("/logs/", "logs endpoint is disabled.\n"),
        ("/debug/pprof/", "profiling endpoint is disabled.\n"),
        ("/debug/flags/v", "flags endpoint is disabled.\n"),
    ] {
        assert_eq!(rig.ask(get(path)).await, (405, text.to_owned()));
    }
}

#[tokio::test]
async fn the_read_only_port_reads_only() {
    let rig = Rig::start(Setup { read_only: true, ..Setup::default() }).await;
    let plain = |path| Ask { plain: true, token: None, ..get(path) };
    assert_eq!(rig.ask(plain("/healthz")).await, (200, "ok".to_owned()));
    assert_eq!(rig.ask(plain("/pods")).await.0, 200);
    assert_eq!(rig.ask(plain("/configz")).await.0, 404);
    for path in ["/exec/ns/pod/c", "/run/ns/pod/c", "/logs/", "/containerLogs/ns/pod/c", "/runningpods/"] {
        assert_eq!(rig.ask(plain(path)).await, (405, "Debug endpoints are disabled.\n".to_owned()));
    }
    assert!(rig.judge.asked.lock().is_empty());
}

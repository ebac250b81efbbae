use std::os::unix::fs::PermissionsExt;

use jiff::Timestamp;
use seams::explain::{Explanation, PodEntry, PodList, PodName, Said, Timeline, Unknown, VERSION, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Knows one pod, and two of another name.
struct Known;

fn name(uid: &str) -> PodName {
    PodName { namespace: "default".into(), name: "web".into(), uid: uid.into() }
}

impl Explainer for Known {
    fn pods(&self) -> PodList {
        let standing = Said { name: "Ready".into(), text: "running and ready".into() };
        let entry = PodEntry { pod: name("1"), source: "file".into(), standing, ended: None };
        PodList {
            version: VERSION.into(),
            now: Timestamp::UNIX_EPOCH,
            node: "node".into(),
            pods: vec![entry],
        }
    }

    fn explain(&self, wanted: &Wanted) -> Result<Explanation, Unknown> {
        match wanted.name.as_str() {
            "twice" => Err(Unknown::Several(vec![name("1"), name("2")])),
            _ => Err(Unknown::NoSuchPod),
        }
    }

    fn timeline(&self, _: &Wanted) -> Result<Timeline, Unknown> {
        Ok(Timeline {
            version: VERSION.into(),
            now: Timestamp::UNIX_EPOCH,
            node: "node".into(),
            pod: name("1"),
            source: "file".into(),
            seen: Timestamp::UNIX_EPOCH,
            taken_up: false,
            start: None,
            steps: vec![],
            inspections: vec![],
            why: vec![],
            forgotten: 0,
        })
    }
}

async fn raw(path: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    // A server that refuses a request half-way resets the connection: what it said before counts.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(path: &std::path::Path, target: &str) -> (u16, serde_json::Value) {
    let answer = raw(path, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn serves_documents_and_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let socket = bind(&path).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(socket, Arc::new(Known), stop.clone()));

    let (status, pods) = get(&path, "/v1/pods").await;
    assert_eq!((status, &pods["pods"][0]["name"]), (200, &"web".into()));
    let (status, timeline) = get(&path, "/v1/timeline?pod=default%2Fweb").await;
    assert_eq!((status, &timeline["version"]), (200, &"v1".into()));
    let (status, refusal) = get(&path, "/v1/explain?pod=default/none").await;
    assert_eq!((status, &refusal["error"]), (404, &"NoSuchPod".into()));
    assert!(refusal["message"].as_str().unwrap().contains("default/none"));
    let (status, refusal) = get(&path, "/v1/explain?pod=twice").await;
    assert_eq!((status, refusal["pods"].as_array().unwrap().len()), (409, 2));
    assert_eq!(get(&path, "/v1/explain").await.0, 400);
    assert_eq!(get(&path, "/v2/pods").await.0, 404);
    let post = raw(&path, "POST /v1/pods HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    let long = raw(&path, &format!("GET /v1/pods?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 16))).await;
    assert!(!long.starts_with("HTTP/1.1 200"), "{long}");

    stop.cancel();
    serving.await.unwrap();
    assert!(!path.exists(), "removed at the end");
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind, as by a kill");
    let first = bind(&path).await.unwrap();
    assert!(matches!(bind(&path).await, Err(SocketError::InUse { .. })));
    // The successor's socket outlives the predecessor's end.
    std::fs::remove_file(&path).unwrap();
    let second = bind(&path).await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    serve(first, Arc::new(Known), stop.clone()).await;
    assert!(path.exists());
    drop(second);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [FILE]);
}

#[tokio::test]
async fn what_cannot_be_a_socket_is_told_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(bind(&path).await, Err(SocketError::NoSocket { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let error = bind(&deep.join(FILE)).await.unwrap_err().to_string();
    assert!(error.contains("hint: the path of a socket may have 107 bytes"), "{error}");
    let error = bind(&dir.path().join("none").join(FILE)).await.unwrap_err();
    assert!(matches!(error, SocketError::Make { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_that_is_a_little_too_deep_is_told_and_no_dead_socket_in_it_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    for length in 88..=96 {
        let rest = length - dir.path().as_os_str().len() - 1;
        let deep = dir.path().join("d".repeat(rest));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join(FILE);
        // As a former process leaves one: made under a shorter name.
        let short = deep.join("s");
        drop(std::os::unix::net::UnixListener::bind(&short).unwrap());
        std::fs::rename(&short, &path).unwrap();
        match bind(&path).await {
            Ok(_) => assert!(path.as_os_str().len() <= 107, "{length}"),
            Err(error @ SocketError::Make { .. }) => {
                assert!(path.as_os_str().len() > 107 && error.to_string().contains("107 bytes"), "{error}");
            }
            Err(error) => panic!("{length}: {error}"),
        }
        let left: Vec<_> = std::fs::read_dir(&deep).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [FILE], "{length}");
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_costs_a_place_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let socket = bind(&path).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(socket, Arc::new(Known), stop.clone()));
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS - 1 {
        silent.push(UnixStream::connect(&path).await.unwrap());
    }
    assert_eq!(get(&path, "/v1/pods").await.0, 200);
    stop.cancel();
}

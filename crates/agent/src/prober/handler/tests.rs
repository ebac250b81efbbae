use fakes::runtime::{Code, FakeRuntime, Fault, When};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// Whether a server closes the connection after its answer.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Stall,
}

fn target(probe: &Value) -> Target {
    Target {
        id: ContainerId::from("c".to_owned()),
        probe: serde_json::from_value(probe.clone()).unwrap(),
        ports: Vec::new(),
        pod_ip: Some("127.0.0.1".to_owned()),
        timeout: Duration::from_secs(1),
    }
}

/// What an HTTP probe with a second's time makes of an answer.
async fn probed(answer: &str, then: Then) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer.to_owned();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        // Who has read enough may be gone before all is written.
        drop(stream.write_all(answer.as_bytes()).await);
        if let Then::Stall = then {
            drop(stream.read(&mut [0; 1]).await);
        }
    });
    let target = target(&json!({"httpGet": {"port": port}}));
    let answer = timeout(Duration::from_secs(60), run(&FakeRuntime::new(), &target)).await.unwrap();
    serving.abort();
    answer
}

const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nLocation: http://other.test/\r\n";

fn terminated(body: &str) -> Answer {
    Answer::Warning(format!("Probe terminated redirects, Response body: {body}"))
}

#[tokio::test]
async fn a_body_that_never_ends_is_no_answer() {
    let late = "context deadline exceeded (Client.Timeout or context cancellation while reading body)";
    for head in ["HTTP/1.1 200 OK\r\n", ELSEWHERE, "HTTP/1.1 500 Oh\r\n"] {
        let answer = format!("{head}Content-Length: 9\r\n\r\nbegin");
        assert_eq!(probed(&answer, Then::Stall).await, Answer::Broken(late.to_owned()), "{head}");
        let broken = Answer::Broken("unexpected EOF".to_owned());
        assert_eq!(probed(&answer, Then::Close).await, broken, "{head}");
    }
}

#[tokio::test]
async fn a_redirect_that_is_not_followed_is_a_warning() {
    let body = "Content-Length: 4\r\n\r\nbody";
    assert_eq!(probed(&format!("{ELSEWHERE}{body}"), Then::Stall).await, terminated("body"));
    let nowhere = format!("HTTP/1.1 300 Multiple Choices\r\n{body}");
    assert_eq!(probed(&nowhere, Then::Stall).await, terminated("body"));
    assert_eq!(probed("HTTP/1.1 304 Not Modified\r\n\r\n", Then::Stall).await, terminated(""));
}

#[tokio::test]
async fn of_a_long_body_the_beginning_is_told() {
    let body = "x".repeat(ANSWER_BYTES + 1);
    // It promises more than comes: nobody waits for that.
    let answer = format!("{ELSEWHERE}Content-Length: 1000000\r\n\r\n{body}");
    assert_eq!(probed(&answer, Then::Stall).await, terminated(&body[..ANSWER_BYTES]));
    let well = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{body}");
    assert_eq!(probed(&well, Then::Stall).await, Answer::Success);
}

#[tokio::test]
async fn a_command_that_could_not_be_run_is_told_as_the_runtime_tells_it() {
    let runtime = FakeRuntime::new();
    let text = "failed to exec in container: no such task";
    runtime.core.plan("ExecSync", Fault::Fail(Code::NotFound, text.to_owned()), When::Before, None);
    let answer = run(&runtime, &target(&json!({"exec": {"command": ["true"]}}))).await;
    assert_eq!(answer, Answer::Unknown(format!("rpc error: code = NotFound desc = {text}")));
}

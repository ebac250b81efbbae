//! The script: invocations in order, with what they have to print and the code they have to leave.

use std::{fs, io::Write as _, net::TcpStream, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::images;
use node_tests::Node;

use super::{Done, Protocol, bulk, done, done_with_open_input, kubectl};

/// What is expected of standard output, or of the error output.
enum Want<'a> {
    Out(&'a str),
    Contains(&'a str),
    Length(usize),
    Error(&'a str),
    Both(&'a str, &'a str),
}

use Want::{Both, Contains, Error, Length, Out};

struct Step<'a> {
    arguments: &'a [&'a str],
    input: Option<&'a [u8]>,
    code: i32,
    want: Want<'a>,
}

fn step<'a>(arguments: &'a [&'a str], code: i32, want: Want<'a>) -> Step<'a> {
    Step { arguments, input: None, code, want }
}

fn told<'a>(arguments: &'a [&'a str], input: &'a [u8], code: i32, want: Want<'a>) -> Step<'a> {
    Step { arguments, input: Some(input), code, want }
}

fn check(step: &Step<'_>, seen: &Done) -> Result<()> {
    let is_met = match &step.want {
        Out(text) => seen.out == *text,
        Contains(text) => seen.out.contains(text),
        Length(length) => seen.out.len() == *length,
        Error(text) => seen.err.contains(text),
        Both(out, err) => seen.out == *out && seen.err.contains(err),
    };
    let cut = |text: &str| text.chars().take(600).collect::<String>();
    ensure!(
        is_met && seen.code == step.code,
        "kubectl {:?} ended with {}, not {}, and said\n{}\n{}",
        step.arguments,
        seen.code,
        step.code,
        cut(&seen.out),
        cut(&seen.err)
    );
    Ok(())
}

pub(super) fn run(node: &Node, protocol: Protocol) -> Result<()> {
    logs(node, protocol)?;
    commands(node, protocol)?;
    terminals(node, protocol)?;
    files(node, protocol)?;
    ports(node, protocol)?;
    ephemeral(node, protocol)?;
    pages(node, protocol)
}

fn steps(node: &Node, protocol: Protocol, steps: &[Step<'_>]) -> Result<()> {
    for step in steps {
        let mut command = kubectl(node, protocol)?;
        command.args(step.arguments);
        let seen = done(command, step.input)?;
        check(step, &seen).with_context(|| format!("by {protocol:?}"))?;
    }
    Ok(())
}

fn logs(node: &Node, protocol: Protocol) -> Result<()> {
    let lines = "line 1\nline 2\nline 3\nline 4\nline 5\n";
    steps(
        node,
        protocol,
        &[
            step(&["logs", "desk", "-c", "main"], 0, Out("out\nerr\nlast\n")),
            step(&["logs", "desk", "-c", "main", "--tail=1"], 0, Out("last\n")),
            step(&["logs", "desk", "-c", "main", "--tail=0"], 0, Out("")),
            step(&["logs", "desk", "-c", "main", "--limit-bytes=5"], 0, Out("out\ne")),
            step(&["logs", "desk", "-c", "main", "--since=1h"], 0, Out("out\nerr\nlast\n")),
            step(&["logs", "desk", "-c", "main", "--since-time=2100-01-01T00:00:00Z"], 0, Out("")),
            step(&["logs", "desk", "-c", "main", "--timestamps", "--tail=1"], 0, Contains("Z last\n")),
            step(&["logs", "desk", "-c", "second"], 0, Out("run 2\n")),
            step(&["logs", "desk", "-c", "second", "--previous"], 0, Out("run 1\n")),
            step(
                &["logs", "desk", "-c", "main", "--previous"],
                1,
                Error("previous terminated container \"main\" in pod \"desk\" not found"),
            ),
            step(&["logs", "desk", "-c", "nobody"], 1, Error("container nobody is not valid for pod desk")),
            step(&["logs", "nobody"], 1, Error("pods \"nobody\" not found")),
            step(&["logs", "-f", "brief"], 0, Out(lines)),
            step(&["logs", "-f", "brief", "--tail=2"], 0, Out("line 4\nline 5\n")),
            step(&["logs", "desk", "-c", "main", "--prefix", "--tail=1"], 0, Out("[pod/desk/main] last\n")),
        ],
    )
}

fn commands(node: &Node, protocol: Protocol) -> Result<()> {
    const DESK: [&str; 4] = ["exec", "desk", "-c", "main"];
    let of = |rest: &[&'static str]| [&DESK[..], rest].concat();
    let large = vec![b'x'; 3 << 20];
    steps(
        node,
        protocol,
        &[
            step(&of(&["--", "echo", "hello"]), 0, Both("hello\n", "")),
            step(&of(&["--", "sh", "-c", "echo o; echo e >&2"]), 0, Both("o\n", "e\n")),
            step(&of(&["--", "sh", "-c", "exit 7"]), 7, Error("exit code 7")),
            step(&of(&["--", "sh", "-c", "exit 255"]), 255, Error("exit code 255")),
            step(&of(&["--", "/no/such/program"]), 1, Error("no such file or directory")),
            step(&of(&["--", "cat"]), 0, Out("")),
            told(&of(&["-i", "--", "cat"]), b"one\ntwo", 0, Out("one\ntwo")),
            told(&of(&["-i", "--", "wc", "-c"]), &large, 0, Out("3145728\n")),
            told(&of(&["-i", "--", "sh", "-c", "cat > /dev/null; exit 3"]), b"x", 3, Error("exit code 3")),
            // Not much: a command that ends while containerd waits for it to read is one that containerd may never end.
            told(&of(&["-i", "--", "true"]), b"unread", 0, Out("")),
            step(&of(&["--", "sh", "-c", "yes | head -c 5000000"]), 0, Length(5_000_000)),
            step(&of(&["--", "sh", "-c", "yes | head -c 1000000 >&2; echo done"]), 0, Out("done\n")),
            step(
                &["exec", "desk", "-c", "nobody", "--", "true"],
                1,
                Error("container nobody is not valid for pod desk"),
            ),
            step(&["exec", "nobody", "--", "true"], 1, Error("pods \"nobody\" not found")),
        ],
    )
}

/// kubectl on a terminal of 33 rows and 77 columns, into which `input` is typed, for so many seconds at most.
fn on_terminal(node: &Node, protocol: Protocol, limit: u32, arguments: &str, input: &str) -> Result<Done> {
    let command = kubectl(node, protocol)?;
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let line =
        format!("stty rows 33 cols 77; timeout --foreground {limit} nsenter {} {arguments}", words.join(" "));
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            script.env(name, value);
        }
    }
    done(script, Some(input.as_bytes()))
}

fn terminals(node: &Node, protocol: Protocol) -> Result<()> {
    // The size arrives shortly after the command has begun.
    let wait = "'for i in 1 2 3 4 5 6 7 8 9; do stty size; sleep 0.2; done; exit 5'";
    let seen = on_terminal(node, protocol, 60, &format!("exec -it desk -c main -- sh -c {wait}"), "")?;
    ensure!(seen.code == 5 && seen.out.contains("33 77"), "the terminal's size: {seen:?}");
    let seen = on_terminal(node, protocol, 60, "exec -it desk -c main -- sh", "echo two-$((1+1)); exit 4\n")?;
    ensure!(seen.code == 4 && seen.out.contains("two-2"), "a shell on a terminal: {seen:?}");
    let name = if protocol == Protocol::WebSocket { "once-websocket" } else { "once-spdy" };
    steps(node, protocol, &[told(&["attach", "-i", name], b"attached\n", 0, Contains("attached\n"))])?;
    // The shell goes on for whoever attaches next.
    let seen = on_terminal(node, protocol, 6, "attach -it desk -c term", "echo three-$((1+2))\n")?;
    ensure!(seen.out.contains("three-3"), "a shell that is attached to: {seen:?}");
    Ok(())
}

fn files(node: &Node, protocol: Protocol) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    fs::create_dir_all(there.join("below"))?;
    fs::write(there.join("one"), "one\n")?;
    fs::write(there.join("below/two"), vec![7; 100_000])?;
    let (from, to) = (there.display().to_string(), back.display().to_string());
    steps(
        node,
        protocol,
        &[
            step(&["cp", &from, "desk:/tmp/copied", "-c", "main"], 0, Out("")),
            step(&["cp", "desk:/tmp/copied", &to, "-c", "main"], 0, Contains("")),
            step(&["exec", "desk", "-c", "main", "--", "rm", "-r", "/tmp/copied"], 0, Out("")),
        ],
    )?;
    ensure!(
        fs::read(back.join("one"))? == b"one\n" && fs::read(back.join("below/two"))?.len() == 100_000,
        "copies"
    );
    Ok(())
}

fn ports(node: &Node, protocol: Protocol) -> Result<()> {
    let forward = bulk::Forward::start(node, protocol, "pod/web", 8080)?;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(forward.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let answer = std::io::read_to_string(stream)?;
        ensure!(answer.starts_with("HTTP/1.1 200") && answer.trim_end().ends_with("ok"), "{answer}");
    }
    forward.stop()
}

fn ephemeral(node: &Node, protocol: Protocol) -> Result<()> {
    let (quiet, asked) = match protocol {
        Protocol::WebSocket => ("quiet-w", "asked-w"),
        Protocol::Spdy => ("quiet-s", "asked-s"),
    };
    let image = format!("--image={}", images::BUSYBOX);
    let named = |name: &str| format!("--container={name}");
    let container = named(quiet);
    let says = ["debug", "web", &image, &container, "--attach=false", "--", "sh", "-c", "echo debugged"];
    steps(node, protocol, &[step(&says, 0, Contains(""))])?;
    let mut command = kubectl(node, protocol)?;
    command.args([
        "debug",
        "web",
        &image,
        &named(asked),
        "-i",
        "--",
        "sh",
        "-c",
        "read line; echo got $line",
    ]);
    let seen = done_with_open_input(command, b"it\n")?;
    ensure!(seen.code == 0 && seen.out.contains("got it\n"), "a debug container that is asked: {seen:?}");
    node.eventually("the log of the ephemeral container", super::BOUND, |lab| {
        let log = lab.kubectl(&["logs", "web", "-c", quiet])?;
        ensure!(log == "debugged\n", "{log}");
        Ok(())
    })
}

fn pages(node: &Node, protocol: Protocol) -> Result<()> {
    let name = &node.plan().node_name;
    let page = |path: &str| format!("--raw=/api/v1/nodes/{name}/proxy/{path}");
    let get = |path: &str| ["get".to_owned(), page(path)];
    let post = |path: &str| ["create".to_owned(), page(path), "--filename=-".to_owned()];
    let cases: [(Vec<String>, i32, Want<'_>); 12] = [
        (get("healthz").to_vec(), 0, Out("ok")),
        (get("pods").to_vec(), 0, Contains("\"kind\":\"PodList\"")),
        (get("runningpods/").to_vec(), 0, Contains("\"name\":\"desk\"")),
        (get("configz").to_vec(), 0, Contains("\"containerLogMaxSize\":\"64Ki\"")),
        (get("flagz").to_vec(), 0, Contains("kubelet flagz")),
        (get("statusz").to_vec(), 0, Contains("Binary version= 1.37.2")),
        (get("containerLogs/default/desk/main?tailLines=1").to_vec(), 0, Out("last\n")),
        (get("logs/").to_vec(), 0, Contains("<pre>")),
        (get("logs/?query=no-such-service").to_vec(), 0, Out("\nlog not found for no-such-service\n")),
        (get("debug/pprof/heap").to_vec(), 1, Error("")),
        (get("nothing").to_vec(), 1, Error("could not find the requested resource")),
        // There is no CRIU here: the runtime says so.
        (post("checkpoint/default/desk/main").to_vec(), 1, Error("")),
    ];
    for (arguments, code, want) in &cases {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let want = match want {
            Out(text) => Out(text),
            Contains(text) => Contains(text),
            Error(text) => Error(text),
            _ => continue,
        };
        steps(node, protocol, &[told(&arguments, b"", *code, want)])?;
    }
    Ok(())
}

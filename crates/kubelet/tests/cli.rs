//! The built binary, from outside: exit codes, standard error, standard output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "other processes run by the machine's clock")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixDatagram, UnixListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

#[path = "cli/beside.rs"]
mod beside;

const DEADLINE: Duration = Duration::from_secs(30);

fn kubelet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubelet"));
    command
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::null());
    command
}

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str]) -> Outcome {
    let output = kubelet().args(args).output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn refused(args: &[&str]) -> String {
    let outcome = run(args);
    assert_eq!(outcome.code, Some(1), "{args:?}: {}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
    outcome.stderr
}

fn config(directory: &Path, body: &str) -> String {
    let path = directory.join("config.yaml");
    std::fs::write(
        &path,
        format!("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{body}"),
    )
    .unwrap();
    format!("--config={}", path.display())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running node whose runtime accepts connections and never answers: it stays in its start, where everything that
/// is tested here is there already, and it touches nothing of the machine. Killed when dropped.
struct Node {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    port: u16,
    _runtime: HungRuntime,
}

struct HungRuntime {
    directory: tempfile::TempDir,
    _socket: UnixListener,
}

impl HungRuntime {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(directory.path().join("runtime.sock")).unwrap();
        Self { directory, _socket: socket }
    }

    fn args(&self, port: u16) -> [String; 8] {
        let root = self.directory.path().display();
        [
            // Ports that other nodes here, and on this machine, would have too.
            "--enable-server=false".to_owned(),
            "--read-only-port=0".to_owned(),
            format!("--healthz-port={port}"),
            "--fail-cgroupv1=false".to_owned(),
            format!("--container-runtime-endpoint=unix://{root}/runtime.sock"),
            "--runtime-request-timeout=15m".to_owned(),
            format!("--root-dir={root}/root"),
            format!("--cert-dir={root}/pki"),
        ]
    }
}

impl Node {
    fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let runtime = HungRuntime::new();
        let mut child = kubelet()
            .args(runtime.args(port))
            .args(args)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines, seen: Vec::new(), port, _runtime: runtime }
    }

    fn wait_for(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("{text:?} did not appear in:\n{}", self.seen.join("\n")),
            }
        }
    }

    fn get(&self, path: &str) -> String {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let until = Instant::now() + DEADLINE;
        let mut stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > until => panic!("{error}"),
                Err(_) => std::thread::yield_now(),
            }
        };
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.seen.extend(self.lines.iter());
                return status.code();
            }
            assert!(Instant::now() < until, "still running:\n{}", self.seen.join("\n"));
            std::thread::yield_now();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn version_is_what_tools_parse() {
    let outcome = run(&["--version"]);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()),
        (Some(0), "Kubernetes v1.37.2\n", "")
    );
    let raw = run(&["--version=raw"]).stdout;
    assert!(raw.contains("GitVersion:\"v1.37.2\"") && raw.contains("kubelet-rs "), "{raw}");
}

#[test]
fn help_goes_to_standard_output() {
    for flag in ["--help", "-h"] {
        let outcome = run(&[flag]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        assert!(outcome.stdout.contains("--register-with-taints"));
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = kubelet().arg("--help").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn unknown_flags_are_refused_in_upstreams_words_with_a_hint() {
    let stderr = refused(&["--xyz", "--max-pod=5"]);
    assert!(stderr.contains("\"command failed\" err=\"failed to parse kubelet flag: "), "{stderr}");
    assert!(
        stderr.contains("unknown flag: --xyz") && stderr.contains("did you mean --max-pods?"),
        "{stderr}"
    );
    let one = refused(&["--xyz"]);
    assert!(one.contains("err=\"failed to parse kubelet flag: unknown flag: --xyz\""), "{one}");
    assert!(one.starts_with('E') && one.contains("main.rs:"), "klog: {one}");
}

#[test]
fn arguments_are_refused() {
    let stderr = refused(&["--register-node", "false"]);
    assert!(stderr.contains("unknown command false") && stderr.contains("--register-node=false"), "{stderr}");
}

#[test]
fn the_flags_of_an_old_unit_file_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = Node::start(
        &[
            "--allow-privileged=true",
            "--network-plugin",
            "cni",
            "--cni-bin-dir=/opt/cni/bin",
            "--cadvisor_port=0",
            "--container-runtime=remote",
            "--pod-infra-container-image=pause:3.1",
            "--logtostderr",
            "--enable-load-reader",
            "--cgroup-driver=cgroupfs",
            &config(directory.path(), ""),
        ],
        &[],
    );
    node.wait_for(
        "Flag --cgroup-driver has been deprecated, This parameter should be set via the config file",
    );
    node.wait_for("Flag --allow-privileged was removed in Kubernetes 1.15 and is ignored");
    node.wait_for("Flag --pod-infra-container-image was removed in Kubernetes 1.35 and is ignored");
    node.wait_for("Flag --enable-load-reader was removed in Kubernetes 1.37 and is ignored");
    assert!(node.get("/healthz").ends_with("\r\n\r\nok"));
}

#[test]
fn docker_as_runtime_is_refused() {
    let stderr = refused(&["--container-runtime=docker"]);
    assert!(stderr.contains("--container-runtime=docker is not possible any more"), "{stderr}");
    assert!(stderr.contains("hint: Docker and rkt are gone: install containerd or CRI-O"), "{stderr}");
}

#[test]
fn all_problems_of_the_configuration_come_together() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(
        directory.path(),
        "maxPods: -1\nport: 70000\nfeatureGates: {Nonsense: true}\nevictionSoft: {memory.available: 1Gi}\n",
    );
    let stderr = refused(&[&config, "--oom-score-adj=5000", "--node-labels=kubernetes.io/role=x"]);
    for part in [
        "err=\"failed to validate kubelet flags: unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [kubernetes.io/role]",
        "failed to validate kubelet configuration, error: [unrecognized feature gate: Nonsense, ",
        "error: invalid configuration: maxPods (--max-pods) -1 must not be a negative number\n  at: maxPods\n  value: -1 (from file /",
        "at: oomScoreAdj\n  value: 5000 (from flag --oom-score-adj)\n  hint: ",
        "grace period must be specified for the soft eviction threshold memory.available",
        "port (--port) 70000 must be between 1 and 65535, inclusive",
    ] {
        assert!(stderr.contains(part), "{part:?} is not in:\n{stderr}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let stderr = refused(&["--config=/nonexistent/kubelet.yaml"]);
    assert!(stderr.contains("failed to load kubelet config file, path: /nonexistent/kubelet.yaml, error: failed to read kubelet config file"), "{stderr}");
    let stderr = refused(&["--config-dir=/nonexistent/conf.d"]);
    assert!(
        stderr.contains("failed to merge kubelet configs: failed to walk through kubelet dropin directory"),
        "{stderr}"
    );
}

#[test]
fn config_prints_where_each_value_came_from() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(
        directory.path(),
        "maxPods: 50\nclusterDNS: [10.96.0.10]\nstaticPodURLHeader: {Authorization: [secret]}\n",
    );
    let outcome = run(&["config", &path, "--v=2", "--hostname-override=n1"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let file = directory.path().join("config.yaml").display().to_string();
    assert!(outcome.stdout.contains(&format!("\nmaxPods: 50  # file {file}\n")), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("\n  verbosity: 2  # flag --v\n"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("\nregisterNode: true\n"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("--hostname-override=\"n1\""), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("secret"));
    let json: serde_json::Value =
        serde_json::from_str(&run(&["config", &path, "--output", "json"]).stdout).unwrap();
    assert_eq!(json["config"]["maxPods"], 50);
    assert_eq!(json["sources"]["maxPods"], format!("file {file}"));
    assert_eq!(json["sources"]["port"], "default");
    // What is printed is itself a configuration, and the same one.
    let printed = directory.path().join("printed.yaml");
    std::fs::write(&printed, run(&["config", &path]).stdout.replace("<masked>", "secret")).unwrap();
    let again = run(&["config", &format!("--config={}", printed.display()), "--output=json"]);
    let again: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["config"], json["config"]);
}

#[test]
fn config_reports_problems_too() {
    assert!(refused(&["config", "--max-pods=-1"]).contains("must not be a negative number"));
    assert!(refused(&["config", "--output=xml"]).contains("write yaml or json"));
}

#[test]
fn a_node_logs_its_configuration_serves_health_and_ends_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(
        directory.path(),
        "cpuManagerPolicy: static\nstaticPodURLHeader: {Authorization: [secret]}\nunknownField: 1\n",
    );
    let mut node = Node::start(&[&path, "-v1"], &[]);
    let line = node.wait_for("Effective KubeletConfiguration");
    let (head, _) = line.split_once("] ").unwrap();
    let parts: Vec<_> = head.split_whitespace().collect();
    assert!(parts[0].len() == 5 && parts[0].starts_with('I'), "{line}");
    assert_eq!(parts[1].len(), "17:08:09.123456".len(), "{line}");
    assert_eq!(parts[2], node.child.id().to_string());
    assert!(line.ends_with("\"Effective KubeletConfiguration\" config=<"), "{line}");
    node.wait_for("\tcpuManagerPolicy: static");
    node.wait_for("<masked>");
    node.wait_for("FLAG: --address=\\\"0.0.0.0\\\"");
    node.wait_for(&format!("FLAG: --healthz-port=\\\"{}\\\"", node.port));
    node.wait_for("unknown field \\\"unknownField\\\"");
    node.wait_for("cpuManagerPolicy is set but has no effect: the CPU manager is not built yet");
    node.wait_for("\"Kubelet version\" kubeletVersion=\"v1.37.2\"");
    assert!(node.get("/healthz").starts_with("HTTP/1.1 200 OK"));
    assert!(node.get("/healthz?verbose").contains("[+]ping ok\n[+]syncloop ok\nhealthz check passed"));
    assert!(node.get("/pods").starts_with("HTTP/1.1 404"));
    node.signal(rustix::process::Signal::TERM);
    assert_eq!(node.ended(), Some(0), "{}", node.seen.join("\n"));
    assert!(!node.seen.iter().any(|line| line.contains("secret")));
}

#[test]
fn the_process_gets_its_limit_of_open_files() {
    let node = Node::start(&["--max-open-files=512"], &[]);
    assert!(node.get("/healthz").ends_with("ok"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.child.id())).unwrap();
    let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(open_files.split_whitespace().nth(3), Some("512"), "{open_files}");
}

#[test]
fn json_logs_are_json() {
    let mut node = Node::start(&["--logging-format=json"], &[]);
    let line = node.wait_for("Kubelet version");
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&entry["v"], &entry["kubeletVersion"]), (&0.into(), &"v1.37.2".into()));
    assert!(
        entry["ts"].as_f64().unwrap() > 1.7e12
            && entry["caller"].as_str().unwrap().starts_with("src/main.rs:"),
        "{line}"
    );
    assert!(node.get("/healthz").ends_with("ok"));
    node.signal(rustix::process::Signal::INT);
    assert_eq!(node.ended(), Some(0));
}

#[test]
fn a_reader_of_the_log_that_goes_away_stops_nothing() {
    let port = free_port();
    let runtime = HungRuntime::new();
    let mut child = kubelet().args(runtime.args(port)).arg("--v=10").stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let (_send, lines) = mpsc::channel();
    let node = Node { child, lines, seen: Vec::new(), port, _runtime: runtime };
    assert!(node.get("/healthz").ends_with("ok"));
}

#[test]
fn the_watchdog_is_fed() {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "1200000")];
    let mut node = Node::start(&[], &environment);
    let receive = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut pings = 0;
    while pings < 3 {
        pings += u32::from(receive().contains("WATCHDOG=1"));
    }
    node.signal(rustix::process::Signal::TERM);
    assert_eq!(node.ended(), Some(0));
    let mut short =
        Node::start(&[], &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "1000000")]);
    assert_eq!(short.ended(), Some(1));
    assert!(
        short.seen.iter().any(|line| line.contains("configure watchdog timeout too small: 1s")),
        "{:?}",
        short.seen
    );
}

#[test]
fn the_lock_file_hands_over() {
    let directory = tempfile::tempdir().unwrap();
    let lock = format!("--lock-file={}", directory.path().join("lock").display());
    let mut first = Node::start(&[&lock, "--exit-on-lock-contention"], &[]);
    assert!(first.get("/healthz").ends_with("ok"));
    let mut second = Node::start(&[&lock], &[]);
    second.wait_for("Acquiring file lock");
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.ended(), Some(0), "{}", first.seen.join("\n"));
    assert!(second.get("/healthz").ends_with("ok"));
    let mut waiting = Node::start(&[&lock], &[]);
    waiting.wait_for("Acquiring file lock");
    waiting.signal(rustix::process::Signal::TERM);
    assert_eq!(waiting.ended(), Some(0), "a node that waits for the lock can be stopped");
    let stderr = refused(&["--exit-on-lock-contention", "--fail-cgroupv1=false"]);
    assert!(stderr.contains("cannot exit on lock file contention: no lock file specified"), "{stderr}");
}

#[test]
fn docs_are_printed() {
    let outcome = run(&["docs", "compat"]);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stdout.contains("| `--network-plugin` | 1.24 |"));
    assert!(refused(&["docs"]).contains("unknown command docs"));
}

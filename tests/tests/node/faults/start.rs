//! Starts that cannot succeed: exit code 1, one message that names the object and what to do, and nothing is touched.

use std::{fs, os::unix::net::UnixDatagram, process::Output, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, wait};
use node_tests::Node;

/// Longest for a start to fail: three tries at the runtime, two seconds apart.
const START: &str = "30";

/// The kubelet with the lab's flags and more, run to its end.
fn run(lab: &Lab, more: &[&str]) -> Result<Output> {
    let paths = lab.paths();
    let mut command = lab.command("timeout");
    command.arg(START).arg(&lab.plan().kubelet).args([
        format!("--config={}", paths.kubelet_config.display()),
        format!("--root-dir={}", paths.kubelet_root.display()),
        format!("--cert-dir={}", paths.kubelet_certs.display()),
    ]);
    command.args(more).output().context("cannot run the kubelet")
}

/// Each bad start, and what its message has to say.
pub(super) fn bad(node: &Node) -> Result<()> {
    let dir = &node.paths().dir;
    let write = |name: &str, text: &[u8]| -> Result<String> {
        let file = dir.join(name);
        fs::write(&file, text)?;
        Ok(file.display().to_string())
    };
    let shape = "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: y, context: {cluster: c, user: u}}]\n";
    let keys = "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n\
                clusters: [{name: c, cluster: {server: \"https://10.0.0.1\", certificate-authority: /none/ca.crt}}]\n\
                users: [{name: u, user: {client-certificate: /none/c.crt, client-key: /none/c.key}}]\n";
    let garbage: Vec<u8> = (0..200u8).rev().collect();
    let cases = [
        ("--no-such-flag".to_owned(), ["unknown flag: --no-such-flag", "kubelet --help"]),
        ("--max-pods=many".to_owned(), ["--max-pods", "write a whole number"]),
        ("--config=/none.yaml".to_owned(), ["/none.yaml", "check the path"]),
        (
            format!("--config={}", write("bad.yaml", b"kind: KubeletConfiguration\nmaxPods: [1\n")?),
            ["bad.yaml", "correct the syntax"],
        ),
        (
            "--container-runtime-endpoint=unix:///none.sock".to_owned(),
            ["there is no socket /none.sock", "hint: start the container runtime"],
        ),
        ("--kubeconfig=/none".to_owned(), ["cannot read the kubeconfig /none", "was never joined"]),
        (format!("--kubeconfig={}", write("a", &garbage)?), ["cannot read the kubeconfig", "UTF-8"]),
        (format!("--kubeconfig={}", write("b", b"{")?), ["is not valid", "kubectl --kubeconfig"]),
        (format!("--kubeconfig={}", write("c", shape.as_bytes())?), ["names the context", "the file has: y"]),
        (format!("--kubeconfig={}", write("d", keys.as_bytes())?), ["/none/ca.crt", "check the path"]),
        (
            "--root-dir=/proc/none".to_owned(),
            ["cannot make the root directory /proc/none", "--root-dir names it"],
        ),
    ];
    for (flag, texts) in cases {
        let output = run(node, &[&flag])?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1), "{flag}: {}\n{told}", output.status);
        for text in texts {
            ensure!(told.contains(text), "{flag} does not say {text:?}:\n{told}");
        }
        ensure!(told.matches("\"command failed\"").count() == 1, "{flag}:\n{told}");
    }
    Ok(())
}

/// systemd is told once when the node is up, is pinged while all is well, and told when it goes.
pub(super) fn notifies(node: &mut Node) -> Result<()> {
    let path = node.paths().dir.join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let variables = [
        ("NOTIFY_SOCKET".to_owned(), path.display().to_string()),
        ("WATCHDOG_USEC".to_owned(), "2000000".to_owned()),
    ];
    node.lab()?.kubelet().set_environment(&variables)?;
    node.lab()?.kubelet().spawn()?;
    let next = |wanted: &str, before: &mut Vec<String>| {
        wait::until(&format!("systemd to be told {wanted}"), Duration::from_secs(30), || {
            let mut buffer = [0; 256];
            let said = socket
                .recv(&mut buffer)
                .map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
            Ok(match said {
                Ok(said) if said.contains(wanted) => wait::Look::Ready(()),
                Ok(said) => {
                    before.push(said);
                    wait::Look::NotYet(format!("{before:?}"))
                }
                Err(error) => wait::Look::NotYet(error.to_string()),
            })
        })
    };
    let mut heard = Vec::new();
    next("READY=1", &mut heard)?;
    for _ in 0..3 {
        next("WATCHDOG=1", &mut heard)?;
    }
    node.lab()?.kubelet().stop()?;
    next("STOPPING=1", &mut heard)?;
    ensure!(!heard.iter().any(|said| said.contains("READY=1")), "told twice: {heard:?}");
    node.lab()?.kubelet().set_environment(&[])
}

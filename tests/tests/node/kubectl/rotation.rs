//! `logs -f` while the log is rotated: every line once, in order.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::images;
use node_tests::Node;
use serde_json::json;

use super::{BOUND, Protocol, kubectl};

/// Lines of a little more than a KiB each, twenty every fifth of a second: a hundred KiB a second, of which a file of the
/// lab's size holds less than one.
const LINES: usize = 2_000;
/// Fewer would not be the test that it is to be.
const ROTATIONS: usize = 10;

pub(super) fn followed(node: &Node) -> Result<()> {
    let padding = "x".repeat(1_000);
    // It goes on when its first line was read: a follower that came after the first rotation would miss what was before.
    let begin = format!("echo 0 {padding}; until [ -e /go/on ]; do sleep 0.1; done; i=1");
    let write = format!(
        "{begin}; while [ $i -lt {LINES} ]; do j=0; while [ $j -lt 20 ] && [ $i -lt {LINES} ]; do echo $i {padding}; i=$((i+1)); j=$((j+1)); done; sleep 0.2; done"
    );
    let go = node.paths().dir.join("go");
    std::fs::create_dir_all(&go)?;
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "counter"},
        "spec": {
            "restartPolicy": "Never",
            "volumes": [{"name": "go", "hostPath": {"path": go}}],
            "containers": [{
                "name": "main",
                "image": images::BUSYBOX,
                "command": ["sh", "-c", write],
                "volumeMounts": [{"name": "go", "mountPath": "/go"}],
            }],
        },
    });
    node.apply(&pod.to_string())?;
    let uid = node.eventually("the first line", BOUND, |lab| {
        ensure!(!lab.kubectl(&["logs", "counter", "--limit-bytes=1"])?.is_empty(), "nothing is said");
        let pod = lab.pod("counter")?;
        pod["metadata"]["uid"].as_str().map(str::to_owned).context("a pod without a uid")
    })?;
    let folder = node.paths().pod_logs.join(format!("default_counter_{uid}/main"));
    let mut follow = kubectl(node, Protocol::WebSocket)?;
    follow.args(["logs", "-f", "counter"]);
    let mut child = follow.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let ended = AtomicBool::new(false);
    let (numbers, rotations) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    seen.extend(
                        name.strip_prefix("0.log.").map(|time| time.trim_end_matches(".gz").to_owned()),
                    );
                }
                std::thread::park_timeout(Duration::from_millis(100));
            }
            seen.len()
        });
        let numbers: Result<Vec<usize>> = lines
            .map(|line| {
                let line = line?;
                let (number, rest) = line.split_once(' ').context("a line without a number")?;
                ensure!(rest == padding, "a torn line: {number} {rest}");
                if number == "0" {
                    std::fs::write(go.join("on"), "")?;
                }
                Ok(number.parse()?)
            })
            .collect();
        ended.store(true, Ordering::Relaxed);
        (numbers, watch.join().unwrap_or_default())
    });
    ensure!(child.wait()?.success(), "kubectl logs -f failed");
    let numbers = numbers?;
    let strange = numbers.iter().enumerate().find(|(at, number)| at != *number);
    ensure!(strange.is_none(), "line {strange:?} of {} is out of its place", numbers.len());
    ensure!(numbers.len() == LINES, "{} lines, not {LINES}", numbers.len());
    ensure!(rotations >= ROTATIONS, "only {rotations} rotations");
    println!("{LINES} lines over {rotations} rotations");
    Ok(())
}

//! `kubectl top`, by way of metrics-server, which asks the kubelet for `/metrics/resource` with a token that is good for
//! nothing else there.

use std::ops::RangeInclusive;

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, images};
use node_tests::Node;
use serde_json::{Value, json};

use super::BOUND;

/// MiB that one container holds.
const EATEN: u64 = 64;
/// Thousandths of a processor that the other may use.
const LIMIT: u64 = 100;

/// A pod whose use is known: of memory in one container, of the processor in the other.
pub(super) fn eater() -> Value {
    let eat = |name: &str, args: &[&str]| json!({"name": name, "image": images::TESTBOX, "args": args});
    let mut busy = eat("busy", &["eat-cpu"]);
    busy["resources"] = json!({"limits": {"cpu": format!("{LIMIT}m")}});
    let full = eat("full", &["eat-memory", &format!("--bytes={EATEN}Mi")]);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "eater"},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [busy, full]},
    })
}

/// What is used, as kubectl prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Use {
    /// Thousandths of a processor.
    cpu: u64,
    /// MiB.
    memory: u64,
}

/// Lines of a table without its head, as words, and what the two words at `cpu` and `memory` tell.
fn rows(lab: &Lab, arguments: &[&str], cpu: usize, memory: usize) -> Result<Vec<(Vec<String>, Use)>> {
    let table = lab.kubectl(&[&["top"][..], arguments, &["--no-headers"]].concat())?;
    let number = |words: &[String], at: usize, unit: &str| -> Result<u64> {
        let word = words.get(at).with_context(|| format!("too few words: {table}"))?;
        Ok(word.strip_suffix(unit).with_context(|| format!("{word} without {unit}: {table}"))?.parse()?)
    };
    let lines = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    lines
        .map(|words| {
            let used = Use { cpu: number(&words, cpu, "m")?, memory: number(&words, memory, "Mi")? };
            Ok((words, used))
        })
        .collect()
}

fn within(what: &str, value: u64, range: RangeInclusive<u64>) -> Result<()> {
    ensure!(range.contains(&value), "{what} is {value}, not from {} to {}", range.start(), range.end());
    Ok(())
}

/// The figures of the eater are what it was made to use, those of its pod their sum, and the node's are more.
pub(super) fn agrees(node: &Node) -> Result<()> {
    let pod = node.eventually("the eater's use", BOUND, |lab| {
        let rows = rows(lab, &["pod", "eater", "--containers"], 2, 3)?;
        let of = |name: &str| {
            let row = rows.iter().find(|(words, _)| words[..2] == ["eater", name]);
            row.map(|(_, used)| *used).with_context(|| format!("no line of {name}: {rows:?}"))
        };
        let (busy, full) = (of("busy")?, of("full")?);
        ensure!(rows.len() == 2, "more than two containers: {rows:?}");
        // Less when the machine has much else to do; its quota is kept in pieces, which may come out a little over.
        within("the processor time of the busy one", busy.cpu, LIMIT / 5..=LIMIT * 6 / 5)?;
        within("the processor time of the full one", full.cpu, 0..=LIMIT / 5)?;
        // A program of a few MiB.
        within("the memory of the full one", full.memory, EATEN..=EATEN + 16)?;
        within("the memory of the busy one", busy.memory, 0..=16)?;
        let whole = self::rows(lab, &["pod", "eater"], 1, 2)?;
        let [(_, whole)] = whole.as_slice() else { anyhow::bail!("not one pod: {whole:?}") };
        // Both are rounded.
        within("the memory of the pod", whole.memory, full.memory..=full.memory + busy.memory + 2)?;
        Ok(*whole)
    })?;
    let name = node.plan().node_name.clone();
    node.eventually("the node's use", BOUND, |lab| {
        let rows = rows(lab, &["node"], 1, 3)?;
        let [(words, used)] = rows.as_slice() else { anyhow::bail!("not one node: {rows:?}") };
        ensure!(words[0] == name && words.len() == 5, "{words:?}");
        ensure!(words[2].ends_with('%') && words[4].ends_with('%'), "{words:?}");
        ensure!(used.cpu > 0 && used.memory > pod.memory, "{used:?} on the node, {pod:?} in a pod");
        Ok(())
    })
}

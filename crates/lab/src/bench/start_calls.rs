//! When the runtime worked on the start of each pod, as containerd's log tells it, whichever kubelet asked.
//!
//! containerd logs a line when `RunPodSandbox`, `CreateContainer` and `StartContainer` begin and one when they end. Other
//! calls of a start (`ImageStatus`, inspections) are logged nowhere at this level; they take well under a millisecond each
//! and count as the kubelet's own time.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// One call, by its times in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// When containerd took it up.
    pub(super) start: Timestamp,
    /// When containerd had its answer.
    pub(super) end: Timestamp,
}

/// The calls that start pods, by uid of the pod, in the order in which they ended. A call that failed or has not ended is
/// not among them.
pub(super) fn by_pod(log: &str) -> BTreeMap<String, Vec<Call>> {
    let mut reader = Reader::default();
    for line in log.lines() {
        if let Some((time, message)) = split(line) {
            reader.take(time, &message);
        }
    }
    reader.done
}

/// Time and message of a line `time="…" level=info msg="…"`.
fn split(line: &str) -> Option<(Timestamp, String)> {
    let (time, rest) = line.strip_prefix("time=\"")?.split_once('"')?;
    let (_, message) = rest.split_once("msg=\"")?;
    Some((time.parse().ok()?, message.replace("\\\"", "\"")))
}

/// A field of a message of the CRI as Go prints it: `Uid:x,` or, since its types are protobuf's own, `uid:"x"`.
fn field<'a>(message: &'a str, names: [&str; 2]) -> Option<&'a str> {
    let rest = names.iter().find_map(|name| message.split_once(name).map(|(_, rest)| rest))?;
    rest.trim_start_matches('"').split(['"', ',', ' ', '}']).next()
}

/// The text in quotes behind a phrase.
fn quoted<'a>(message: &'a str, phrase: &str) -> Option<&'a str> {
    message.split_once(phrase)?.1.split_once('"')?.1.split('"').next()
}

/// What is open and known at a line of the log.
#[derive(Default)]
struct Reader {
    /// Sandboxes being made, by uid.
    sandboxes: BTreeMap<String, Timestamp>,
    /// Containers being made, by sandbox and name.
    creates: BTreeMap<(String, String), Timestamp>,
    /// Containers being started, by id.
    starts: BTreeMap<String, Timestamp>,
    /// Whose a sandbox, and whose a container is, by id.
    owners: BTreeMap<String, String>,
    done: BTreeMap<String, Vec<Call>>,
}

impl Reader {
    fn take(&mut self, time: Timestamp, message: &str) {
        if let Some(rest) = message.strip_prefix("RunPodSandbox for ") {
            self.sandbox(time, rest);
        } else if let Some(rest) = message.strip_prefix("CreateContainer within sandbox ") {
            self.create(time, rest);
        } else if let Some(rest) = message.strip_prefix("StartContainer for ") {
            self.start(time, rest);
        }
    }

    fn sandbox(&mut self, time: Timestamp, rest: &str) -> Option<()> {
        let uid = field(rest, ["Uid:", "uid:"])?;
        if let Some(id) = quoted(rest, " returns sandbox id ") {
            self.owners.insert(id.to_owned(), uid.to_owned());
            let start = self.sandboxes.remove(uid)?;
            self.finish(uid.to_owned(), start, time);
        } else if !rest.contains(" failed, error") {
            self.sandboxes.insert(uid.to_owned(), time);
        }
        Some(())
    }

    fn create(&mut self, time: Timestamp, rest: &str) -> Option<()> {
        let sandbox = quoted(rest, "")?;
        let name = field(rest, ["Name:", "name:"])?;
        let key = (sandbox.to_owned(), name.to_owned());
        if let Some(id) = quoted(rest, " returns container id ") {
            let uid = self.owners.get(sandbox)?.clone();
            self.owners.insert(id.to_owned(), uid.clone());
            let start = self.creates.remove(&key)?;
            self.finish(uid, start, time);
        } else if rest.contains(" for container ") {
            self.creates.insert(key, time);
        }
        Some(())
    }

    fn start(&mut self, time: Timestamp, rest: &str) -> Option<()> {
        let id = quoted(rest, "")?;
        if rest.contains(" returns successfully") {
            let start = self.starts.remove(id)?;
            self.finish(self.owners.get(id)?.clone(), start, time);
        } else if !rest.contains(" failed") {
            self.starts.insert(id.to_owned(), time);
        }
        Some(())
    }

    fn finish(&mut self, uid: String, start: Timestamp, end: Timestamp) {
        self.done.entry(uid).or_default().push(Call { start, end });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u32, message: &str) -> String {
        format!("time=\"2026-01-02T03:04:{second:02}.500000000Z\" level=info msg={message:?}\n")
    }

    fn seconds(calls: &[Call]) -> Vec<(i64, i64)> {
        calls.iter().map(|call| (call.start.as_second() % 60, call.end.as_second() % 60)).collect()
    }

    #[test]
    fn calls_of_two_pods_are_told_apart_in_both_notations() {
        let old = "&PodSandboxMetadata{Name:a,Uid:u-a,Namespace:default,Attempt:0,}";
        let new = "name:\"b\" uid:\"u-b\" namespace:\"default\"";
        let container = "&ContainerMetadata{Name:main,Attempt:0,}";
        let log = [
            line(1, &format!("RunPodSandbox for {old}")),
            line(2, &format!("RunPodSandbox for {new}")),
            line(3, &format!("RunPodSandbox for {new} returns sandbox id \"s-b\"")),
            "not a line of containerd's\n".to_owned(),
            line(4, "CreateContainer within sandbox \"s-b\" for container name:\"main\""),
            line(5, &format!("RunPodSandbox for {old} returns sandbox id \"s-a\"")),
            line(6, &format!("CreateContainer within sandbox \"s-a\" for container {container}")),
            line(7, "CreateContainer within sandbox \"s-b\" for name:\"main\" returns container id \"c-b\""),
            line(
                8,
                &format!(
                    "CreateContainer within sandbox \"s-a\" for {container} returns container id \"c-a\""
                ),
            ),
            line(9, "StartContainer for \"c-a\""),
            line(10, "StartContainer for \"c-b\""),
            line(11, "StartContainer for \"c-a\" returns successfully"),
        ]
        .concat();
        let pods = by_pod(&log);
        assert_eq!(seconds(&pods["u-a"]), [(1, 5), (6, 8), (9, 11)]);
        assert_eq!(seconds(&pods["u-b"]), [(2, 3), (4, 7)]);
    }

    #[test]
    fn a_call_that_failed_is_left_out_and_the_next_try_counts() {
        let pod = "name:\"b\" uid:\"u\"";
        let log = [
            line(1, &format!("RunPodSandbox for {pod}")),
            line(2, &format!("RunPodSandbox for {pod} failed, error")),
            line(4, &format!("RunPodSandbox for {pod}")),
            line(5, &format!("RunPodSandbox for {pod} returns sandbox id \"s\"")),
            line(6, "CreateContainer within sandbox \"s\" for container name:\"m\""),
            line(7, "CreateContainer within sandbox \"s\" for name:\"m\" failed"),
            line(8, "StartContainer for \"unknown\""),
            line(9, "StartContainer for \"unknown\" failed"),
        ]
        .concat();
        assert_eq!(seconds(&by_pod(&log)["u"]), [(4, 5)]);
    }
}

//! Network interfaces, as a process sees them.
//!
//! A pod's figures come from `/proc/<pid>/net/dev` of any of its processes: it needs no help from the runtime, whose own
//! figures differ (containerd 1.6 knows the default interface only, others none), and no entering of namespaces.

use seams::stats::{Interface, Traffic};

use super::reader::Reader;

/// Interfaces of the network that a process lives in.
pub(super) fn of_process(reader: &mut Reader, proc: &str, pid: u32) -> Option<Vec<Interface>> {
    let process = reader.process(proc, pid)?;
    reader.text(&process, "net/dev").map(parse)
}

/// Interfaces of the node: those of the first process, as upstream reads them; where that may not be asked, our own.
pub(super) fn of_node(reader: &mut Reader, proc: &str) -> Vec<Interface> {
    of_process(reader, proc, 1).unwrap_or_else(|| {
        let own = reader.open(proc, "/self");
        own.and_then(|own| reader.text(&own, "net/dev").map(parse)).unwrap_or_default()
    })
}

/// What tells one network namespace from another; `None` where that may not be known.
pub(super) fn namespace(proc: &str, process: impl std::fmt::Display) -> Option<(u64, u64)> {
    let seen = rustix::fs::stat(format!("{proc}/{process}/ns/net").as_str()).ok()?;
    Some((seen.st_dev, seen.st_ino))
}

/// Interfaces that upstream leaves out: the loopback, and one end of each pod's cable.
fn is_left_out(name: &str) -> bool {
    ["lo", "veth", "docker", "nerdctl"].iter().any(|prefix| name.starts_with(prefix))
}

/// Two lines of headings, then `eth0: bytes packets errs drop fifo frame compressed multicast` and eight more for what
/// was sent.
fn parse(text: &str) -> Vec<Interface> {
    let interfaces = text.lines().filter_map(|line| {
        let (name, figures) = line.split_once(':')?;
        let name = name.trim();
        if is_left_out(name) {
            return None;
        }
        let mut figures = figures.split_ascii_whitespace().map(|figure| figure.parse::<u64>().ok());
        let received = traffic(&mut figures)?;
        // fifo, frame, compressed, multicast
        let transmitted = traffic(&mut figures.by_ref().skip(4))?;
        Some(Interface { name: name.to_owned(), received, transmitted })
    });
    interfaces.collect()
}

fn traffic(figures: &mut impl Iterator<Item = Option<u64>>) -> Option<Traffic> {
    let mut next = || figures.next().flatten();
    Some(Traffic { bytes: next()?, packets: next()?, errors: next()?, dropped: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    3007      39    2    4    5     6          7         8     2064      20    3    1    0     0       0          0
vethab: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
  cut0: 1 2 3
";

    #[test]
    fn interfaces_are_read_and_some_left_out() {
        let seen = parse(TEXT);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].name, "eth0");
        assert_eq!(seen[0].received, Traffic { bytes: 3007, packets: 39, errors: 2, dropped: 4 });
        assert_eq!(seen[0].transmitted, Traffic { bytes: 2064, packets: 20, errors: 3, dropped: 1 });
    }

    #[test]
    fn this_process_is_in_its_own_network() {
        let own = namespace("/proc", "self");
        assert!(own.is_some());
        assert_eq!(own, namespace("/proc", std::process::id()));
        assert_eq!(namespace("/proc", 0), None);
        assert_eq!(of_process(&mut Reader::default(), "/proc", 0), None);
        assert!(of_process(&mut Reader::default(), "/proc", std::process::id()).is_some());
    }

    #[test]
    fn the_node_is_asked_through_another_process_when_the_first_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("self/net")).unwrap();
        std::fs::write(dir.path().join("self/net/dev"), TEXT).unwrap();
        let seen = of_node(&mut Reader::default(), dir.path().to_str().unwrap());
        assert_eq!(seen.len(), 1);
    }
}

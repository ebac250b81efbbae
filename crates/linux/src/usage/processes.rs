//! Processes of a group, and what they have open.

use std::mem::MaybeUninit;

use rustix::fs::{Mode, OFlags, RawDir, openat, readlinkat_raw};
use seams::stats::{Depth, Processes};

use super::reader::{Directory, Reader};

/// Room for names of open files while they are listed.
const LISTING: usize = 8 << 10;

/// Processes in a group itself, and the first of them.
pub(super) fn of_group(
    reader: &mut Reader,
    proc: &str,
    group: &Directory,
    depth: Depth,
) -> Option<(Processes, Option<u32>)> {
    let text = reader.text(group, "cgroup.procs")?;
    if depth < Depth::Everything {
        let first = text.lines().next().and_then(|line| line.parse().ok());
        let count = count(text.lines().count());
        return Some((Processes { count, ..Processes::default() }, first));
    }
    let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let mut open = (0, 0);
    for pid in &pids {
        let (files, sockets) = open_files(reader, proc, *pid).unwrap_or((0, 0));
        open = (open.0 + files, open.1 + sockets);
    }
    let first = pids.first().copied();
    let processes = Processes {
        count: count(pids.len()),
        open_files: Some(open),
        open_files_limit: first.and_then(|pid| open_files_limit(reader, proc, pid)),
    };
    Some((processes, first))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// (open files, sockets) of a process; `None` when it is gone.
fn open_files(reader: &mut Reader, proc: &str, pid: u32) -> Option<(u64, u64)> {
    let process = reader.process(proc, pid)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let list = openat(process.descriptor(), "fd", flags, Mode::empty()).ok()?;
    let mut buffer = [MaybeUninit::uninit(); LISTING];
    let (mut files, mut sockets) = (0, 0);
    let mut entries = RawDir::new(&list, &mut buffer);
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { break };
        let name = entry.file_name();
        if name.to_bytes().first() == Some(&b'.') {
            continue;
        }
        files += 1;
        // The link reads `socket:[4711]`; its beginning is enough.
        let mut link = [0_u8; 7];
        if readlinkat_raw(&list, name, &mut link[..]).is_ok_and(|length| length == 7) && &link == b"socket:" {
            sockets += 1;
        }
    }
    Some((files, sockets))
}

/// Soft limit on open files: `Max open files            1024                 524288               files`.
pub(super) fn open_files_limit(reader: &mut Reader, proc: &str, pid: u32) -> Option<u64> {
    let process = reader.process(proc, pid)?;
    let text = reader.text(&process, "limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, net::TcpListener, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn processes_are_counted_with_what_they_have_open() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("group")).unwrap();
        fs::create_dir_all(root.join("proc/7/fd")).unwrap();
        fs::write(root.join("group/cgroup.procs"), "7\n8\n").unwrap();
        fs::write(
            root.join("proc/7/limits"),
            "Limit  Soft  Hard\nMax open files            1024   4096  files\n",
        )
        .unwrap();
        symlink("/dev/null", root.join("proc/7/fd/0")).unwrap();
        symlink("socket:[123]", root.join("proc/7/fd/1")).unwrap();
        let (mount, proc) = (root.to_str().unwrap(), root.join("proc").to_str().unwrap().to_owned());
        let mut reader = Reader::default();
        let group = reader.open(mount, "/group").unwrap();
        let (seen, first) = of_group(&mut reader, &proc, &group, Depth::Everything).unwrap();
        assert_eq!(first, Some(7));
        assert_eq!(
            seen,
            Processes { count: 2, open_files: Some((2, 1)), open_files_limit: Some(1024) },
            "8 is gone"
        );
        let (seen, first) = of_group(&mut reader, &proc, &group, Depth::Summary).unwrap();
        assert_eq!((seen, first), (Processes { count: 2, ..Processes::default() }, Some(7)));
        fs::remove_file(root.join("group/cgroup.procs")).unwrap();
        assert_eq!(of_group(&mut reader, &proc, &group, Depth::Summary), None);
    }

    #[test]
    fn this_process_has_open_files_and_sockets() {
        let _socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let (files, sockets) = open_files(&mut Reader::default(), "/proc", std::process::id()).unwrap();
        assert!(files > sockets && sockets >= 1, "{files} {sockets}");
        assert_eq!(open_files(&mut Reader::default(), "/proc", 0), None);
    }
}

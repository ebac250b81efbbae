use std::{fs, io::Read, os::unix::fs::symlink};

use flate2::read::MultiGzDecoder;
use node::log_rotation::{LogPolicy, LogStep, plan};

use super::*;

/// A directory of logs with one container's.
struct Disk {
    root: tempfile::TempDir,
    dir: PathBuf,
}

impl Disk {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("ns_p_u/c");
        fs::create_dir_all(&dir).unwrap();
        for (name, content) in files {
            fs::write(dir.join(name), content).unwrap();
        }
        Self { root, dir }
    }

    fn log(&self) -> PathBuf {
        self.dir.join("0.log")
    }

    fn on<T>(&self, work: impl FnOnce(&Place<'_>) -> io::Result<T>) -> io::Result<T> {
        let log = self.log();
        work(&Place::open(self.root.path(), &log)?)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Everything that is kept, oldest first.
    fn content(&self) -> String {
        let mut names = self.names();
        // The log itself is the newest.
        names.sort_by_key(|name| (name == "0.log", name.clone()));
        let mut content = String::new();
        for name in names {
            let file = File::open(self.dir.join(&name)).unwrap();
            if name.ends_with(".gz") {
                MultiGzDecoder::new(file).read_to_string(&mut content).unwrap();
            } else {
                io::BufReader::new(file).read_to_string(&mut content).unwrap();
            }
        }
        content
    }

    /// Plans and carries out what has to happen; the runtime reopens at once.
    fn rotate(&self, policy: LogPolicy, second: i8) -> io::Result<usize> {
        let now = jiff::civil::date(2026, 1, 2).at(3, 4, second, 0);
        let size = self.on(|place| place.size())?.unwrap_or(0);
        let steps = plan(policy, "0.log", size, &self.on(|place| list(&place.dir))?, now);
        for step in &steps {
            match step {
                LogStep::Delete(name) => self.on(|place| place.delete(name))?,
                LogStep::Rotate(name) => {
                    self.on(|place| place.rename(place.log, name))?;
                    fs::write(self.log(), "")?;
                }
                LogStep::Compress(name) => self.on(|place| place.compress(name))?,
            }
        }
        Ok(steps.len())
    }
}

const POLICY: LogPolicy = LogPolicy { max_size: 4, max_files: 4 };

#[test]
fn rotations_in_a_row() {
    let disk = Disk::new(&[]);
    for second in 0..6 {
        fs::write(disk.log(), format!("line {second}\n")).unwrap();
        disk.rotate(POLICY, second).unwrap();
    }
    assert_eq!(
        disk.names(),
        ["0.log", "0.log.20260102-030403.gz", "0.log.20260102-030404.gz", "0.log.20260102-030405"]
    );
    assert_eq!(disk.content(), "line 3\nline 4\nline 5\n");
    assert_eq!(disk.rotate(POLICY, 59).unwrap(), 0, "small, and nothing left to do");
}

#[test]
fn what_is_compressed_keeps_mode_and_time() {
    let disk = Disk::new(&[("0.log.1", "x".repeat(100_000).as_bytes())]);
    let plain = disk.dir.join("0.log.1");
    fs::set_permissions(&plain, PermissionsExt::from_mode(0o606)).unwrap();
    let before = fs::metadata(&plain).unwrap();
    disk.on(|place| place.compress("0.log.1")).unwrap();
    assert_eq!(disk.names(), ["0.log.1.gz"]);
    let after = fs::metadata(disk.dir.join("0.log.1.gz")).unwrap();
    assert_eq!(after.mode(), before.mode());
    assert_eq!(after.modified().unwrap(), before.modified().unwrap());
    assert!(after.len() < 1000);
    assert_eq!(disk.content().len(), 100_000);
}

/// Each state that a kill can leave, by the instructions of a rotation: the next look repairs it, and loses nothing.
#[test]
fn killed_between_any_two_instructions() {
    const OLD: &str = "0.log.20260102-030400";
    let gz = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let (whole, half) = (gz(b"old\n"), gz(b"old\n")[..7].to_vec());
    let tmp = temporary_name(OLD);
    let old_gz = compressed_name(OLD);
    let new = "0.log.20260102-030401";
    let states: Vec<Vec<(&str, &[u8])>> = vec![
        vec![("0.log", b"newest\n"), (OLD, b"old\n")],
        // Renamed, not reopened; the runtime is asked to when the log is found to be missing.
        vec![(new, b"newest\n"), (OLD, b"old\n")],
        vec![("0.log", b""), (new, b"newest\n"), (OLD, b"old\n")],
        vec![("0.log", b""), (new, b"newest\n"), (OLD, b"old\n"), (&tmp, b"")],
        vec![("0.log", b""), (new, b"newest\n"), (OLD, b"old\n"), (&tmp, &half)],
        vec![("0.log", b""), (new, b"newest\n"), (OLD, b"old\n"), (&tmp, &whole)],
        vec![("0.log", b""), (new, b"newest\n"), (OLD, b"old\n"), (&old_gz, &whole)],
        vec![("0.log", b""), (new, b"newest\n"), (&old_gz, &whole)],
    ];
    for state in states {
        let disk = Disk::new(&state);
        if disk.on(|place| place.size()).unwrap().is_none() {
            fs::write(disk.log(), "").unwrap();
        }
        disk.rotate(POLICY, 1).unwrap();
        let names = disk.names();
        assert_eq!(
            names,
            ["0.log", &old_gz, new],
            "from {:?}",
            state.iter().map(|(n, _)| n).collect::<Vec<_>>()
        );
        assert_eq!(disk.content(), "old\nnewest\n");
        assert_eq!(disk.rotate(POLICY, 2).unwrap(), 0);
    }
}

#[test]
fn a_rename_is_given_back_unless_there_is_a_new_log() {
    let disk = Disk::new(&[("0.log", b"a\n"), ("0.log.2", b"b\n")]);
    let taken = disk.on(|place| place.rename(place.log, "0.log.2")).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    disk.on(|place| place.rename(place.log, "0.log.3")).unwrap();
    assert_eq!(disk.on(|place| place.size()).unwrap(), None);
    assert_eq!(disk.on(|place| place.give_back("0.log.3")).unwrap(), GivenBack::Undone);
    assert_eq!(disk.on(|place| place.size()).unwrap(), Some(2));
    disk.on(|place| place.rename(place.log, "0.log.3")).unwrap();
    fs::write(disk.log(), "new\n").unwrap();
    assert_eq!(disk.on(|place| place.give_back("0.log.3")).unwrap(), GivenBack::Reopened);
    assert_eq!(disk.on(|place| place.size()).unwrap(), Some(4));
    assert_eq!(fs::read(disk.dir.join("0.log.3")).unwrap(), b"a\n");
}

#[test]
fn nothing_but_the_logs_own_files_is_touched() {
    let disk = Disk::new(&[("0.log", b"a\n"), ("1.log", b"b\n")]);
    let precious = tempfile::tempdir().unwrap();
    fs::write(precious.path().join("0.log"), "p").unwrap();
    fs::write(precious.path().join("0.log.1"), "p").unwrap();
    symlink(precious.path().join("0.log.1"), disk.dir.join("0.log.9")).unwrap();
    for name in ["1.log", "0.log", "0.log./../1.log", "../c/0.log.1", ""] {
        assert!(disk.on(|place| place.delete(name)).is_err(), "{name}");
        assert!(disk.on(|place| place.compress(name)).is_err(), "{name}");
        assert!(disk.on(|place| place.give_back(name)).is_err(), "{name}");
    }
    assert!(disk.on(|place| place.compress("0.log.9")).is_err(), "a link is not read");
    symlink(precious.path(), disk.root.path().join("ns_p_u/link")).unwrap();
    let through_link = disk.root.path().join("ns_p_u/link/0.log");
    assert!(Place::open(disk.root.path(), &through_link).is_err());
    assert!(Place::open(disk.root.path(), &precious.path().join("0.log")).is_err());
    assert!(Place::open(disk.root.path(), &disk.root.path().join("ns_p_u/../../x/0.log")).is_err());
    assert_eq!(fs::read(precious.path().join("0.log.1")).unwrap(), b"p");
    assert_eq!(fs::read(disk.dir.join("1.log")).unwrap(), b"b\n");
}

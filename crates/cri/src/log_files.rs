//! Log files on disk: directories for the runtime to write into, links under `/var/log/containers` for collectors,
//! and removal together with the container (contract §17).
//!
//! ```text
//!   <podLogsDir>/<ns>_<pod>_<uid>/<container>/<restart>.log      written by the runtime
//!   <links>/<pod>_<ns>_<container>-<id>.log                      symlink to it, ours
//! ```
//!
//! Security: whatever a runtime says about the place of a log, files are opened and removed only beneath the log
//! directory, resolved by descriptor without following any link.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::DirBuilderExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};

/// Longest file name on ext4.
const NAME_MAX: usize = 255;
/// Ending of links.
const SUFFIX: &str = ".log";

/// Where logs and links are.
#[derive(Clone, Debug)]
pub(crate) struct LogFiles {
    /// `podLogsDir`.
    pub(crate) root: PathBuf,
    /// Directory of links; `None` makes no links.
    pub(crate) links: Option<PathBuf>,
}

/// Name of a container's link.
#[must_use]
pub fn link_name(pod: &str, namespace: &str, container: &str, id: &str) -> String {
    let mut name = format!("{pod}_{namespace}_{container}-{id}");
    let mut end = name.len().min(NAME_MAX - SUFFIX.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name + SUFFIX
}

impl LogFiles {
    /// Makes a directory for logs, with its parents, mode 0755.
    ///
    /// # Errors
    /// As `mkdir(2)`.
    pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(path)
    }

    /// Links to a log. A log that does not exist (another logging driver) gets no link.
    ///
    /// # Errors
    /// The link cannot be made.
    pub(crate) fn link(&self, name: &str, log: &Path) -> io::Result<()> {
        let Some(dir) = &self.links else { return Ok(()) };
        if matches!(fs::symlink_metadata(log), Err(e) if e.kind() == io::ErrorKind::NotFound) {
            return Ok(());
        }
        Self::make_dir(dir)?;
        let link = dir.join(name);
        match std::os::unix::fs::symlink(log, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_link(&link).is_ok_and(|target| target == log) {
                    return Ok(());
                }
                fs::remove_file(&link)?;
                std::os::unix::fs::symlink(log, &link)
            }
            done => done,
        }
    }

    /// Removes a link; a missing one is fine.
    ///
    /// # Errors
    /// As `unlink(2)`.
    pub(crate) fn unlink(&self, name: &str) -> io::Result<()> {
        let Some(dir) = &self.links else { return Ok(()) };
        gone_is_fine(fs::remove_file(dir.join(name)))
    }

    /// Removes every link that leads below a directory.
    ///
    /// # Errors
    /// As `readdir(3)` and `unlink(2)`.
    pub(crate) fn unlink_below(&self, dir: &Path) -> io::Result<()> {
        self.unlink_where(|target| target.starts_with(dir))
    }

    /// Removes every link that leads into the directory of a pod that is not there any more. A log that alone is missing
    /// may just be on its way, as in the middle of a rotation.
    ///
    /// # Errors
    /// As `readdir(3)` and `unlink(2)`.
    pub(crate) fn unlink_lost(&self) -> io::Result<()> {
        // A log directory that cannot be seen is no sign of anything.
        match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => drop(entries?),
        }
        self.unlink_where(|target| {
            let below = target.strip_prefix(&self.root).ok();
            let pod = below.and_then(|below| below.components().next()).map(|pod| self.root.join(pod));
            pod.is_some_and(
                |pod| matches!(fs::symlink_metadata(pod), Err(e) if e.kind() == io::ErrorKind::NotFound),
            )
        })
    }

    fn unlink_where(&self, lost: impl Fn(&Path) -> bool) -> io::Result<()> {
        let Some(links) = &self.links else { return Ok(()) };
        let entries = match fs::read_dir(links) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if fs::read_link(&path).is_ok_and(|target| lost(&target)) {
                gone_is_fine(fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    /// Removes a log and everything rotated from it (`0.log`, `0.log.20240101-000000.gz`, …). Logs outside of the log
    /// directory are left alone: they are not ours.
    ///
    /// # Errors
    /// As `unlink(2)`.
    pub(crate) fn remove(&self, log: &Path) -> io::Result<()> {
        let (Some(parent), Some(name)) = (log.parent(), log.file_name()) else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match beneath(&self.root, parent, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            if entry.file_name().to_bytes().starts_with(name.as_bytes()) {
                names.push(entry.file_name().to_owned());
            }
        }
        for name in names {
            gone_is_fine(rustix::fs::unlinkat(&dir, &name, AtFlags::empty()).map_err(io::Error::from))?;
        }
        Ok(())
    }
}

fn gone_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Opens a plain file for reading.
///
/// # Errors
/// It does not lie beneath `root` without links, or is not a plain file.
pub(crate) fn open_beneath(root: &Path, path: &Path) -> io::Result<File> {
    let file = File::from(beneath(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not a regular file", path.display()),
        ));
    }
    Ok(file)
}

/// Opens anything beneath `root`, through no link at all.
///
/// # Errors
/// As `openat2(2)`, or `path` is not below `root`.
pub(crate) fn beneath(root: &Path, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let relative = path.strip_prefix(root).ok().filter(|rest| !rest.as_os_str().is_empty());
    let relative = relative.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not below the log directory {}", path.display(), root.display()),
        )
    })?;
    let dir = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, dir, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(&root, relative, flags, Mode::empty(), resolve)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_to_what_a_file_system_holds() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(link_name("web", "default", "c", &id), format!("web_default_c-{id}.log"));
        let long = link_name(&"p".repeat(253), "ns", "c", &id);
        assert_eq!((long.len(), long.ends_with("p.log")), (255, true));
    }

    fn files() -> (tempfile::TempDir, LogFiles, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let files = LogFiles { root: dir.path().join("pods"), links: Some(dir.path().join("links")) };
        let container = files.root.join("ns_p_u/c");
        LogFiles::make_dir(&container).unwrap();
        (dir, files, container)
    }

    #[test]
    fn links_follow_the_newest_log_and_skip_missing_ones() {
        let (dir, files, container) = files();
        let link = dir.path().join("links/x.log");
        files.link("x.log", &container.join("0.log")).unwrap();
        assert!(fs::symlink_metadata(&link).is_err(), "no log, no link");
        for log in ["0.log", "0.log", "1.log"] {
            fs::write(container.join(log), "").unwrap();
            files.link("x.log", &container.join(log)).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), container.join(log));
        }
        files.unlink("x.log").unwrap();
        files.unlink("x.log").unwrap();
        assert!(fs::symlink_metadata(&link).is_err());
    }

    #[test]
    fn links_are_lost_when_the_pods_directory_is_gone() {
        let (dir, files, container) = files();
        let links = dir.path().join("links");
        LogFiles::make_dir(&links).unwrap();
        let targets = [
            ("kept.log", container.join("0.log")),
            ("lost.log", files.root.join("ns_p_gone/c/0.log")),
            ("foreign.log", dir.path().join("elsewhere/0.log")),
            ("up.log", files.root.join("../nothing")),
        ];
        for (name, target) in &targets {
            std::os::unix::fs::symlink(target, links.join(name)).unwrap();
        }
        files.unlink_lost().unwrap();
        let is_there = |name: &str| fs::symlink_metadata(links.join(name)).is_ok();
        assert!(is_there("kept.log"), "its log may be on its way");
        assert!(is_there("foreign.log") && is_there("up.log") && !is_there("lost.log"));
        // Without the log directory nothing is known of any log.
        fs::remove_dir_all(&files.root).unwrap();
        files.unlink_lost().unwrap();
        assert!(is_there("kept.log"));
    }

    #[test]
    fn links_below_a_pods_directory_go_with_it() {
        let (dir, files, container) = files();
        let other = files.root.join("ns_p_u2/c");
        LogFiles::make_dir(&other).unwrap();
        files.unlink_below(&files.root.join("ns_p_u")).unwrap();
        for (name, log) in [("a.log", container.join("0.log")), ("b.log", other.join("0.log"))] {
            fs::write(&log, "").unwrap();
            files.link(name, &log).unwrap();
        }
        files.unlink_below(&files.root.join("ns_p_u")).unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path().join("links")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["b.log"]);
    }

    #[test]
    fn a_log_goes_with_its_rotated_parts_and_nothing_else() {
        let (_dir, files, container) = files();
        for name in ["0.log", "0.log.20240101-000000", "0.log.20240101-000000.gz", "1.log", "10.log"] {
            fs::write(container.join(name), "").unwrap();
        }
        files.remove(&container.join("0.log")).unwrap();
        files.remove(&container.join("0.log")).unwrap();
        let mut left: Vec<_> = fs::read_dir(&container).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["1.log", "10.log"]);
        files.remove(&files.root.join("absent/c/0.log")).unwrap();
    }

    #[test]
    fn nothing_is_removed_or_read_through_a_link() {
        let (dir, files, container) = files();
        let precious = dir.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("0.log"), "x").unwrap();
        let planted = files.root.join("planted");
        std::os::unix::fs::symlink(&precious, &planted).unwrap();
        assert!(files.remove(&planted.join("0.log")).is_err());
        assert!(files.remove(&precious.join("0.log")).is_err());
        assert!(files.remove(&container.join("../../../precious/0.log")).is_err());
        assert!(open_beneath(&files.root, &planted.join("0.log")).is_err());
        assert!(precious.join("0.log").exists());
    }
}

//! The files of one log, old and new: which is open, and which comes after it.
//!
//! ```text
//!   0.log.…-000000.gz  ──▶  0.log.…-000001.gz  ──▶  0.log.…-000002  ──▶  0.log
//! ```
//!
//! A file is known by its inode, since its name changes under us. What it is called by now the kernel tells (the link in
//! `/proc/self/fd`), also when it was removed since; those called later come after it. So no rotation is missed, however
//! many there were since the last look, as long as their files are there.
//!
//! Security: the directory is opened beneath the log directory without following links, and everything else in that
//! directory by name, without following links.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use node::log_rotation;
use rustix::fs::{AtFlags, Dir, Mode, OFlags};

use crate::log_files;

/// Looks for a successor while files are renamed and compressed under us. Each rotation takes a second at least.
const TRIES: usize = 8;
/// What the kernel puts behind the name of an open file that was removed.
const REMOVED: &[u8] = b" (deleted)";

/// A file's identity: device and inode.
type Id = (u64, u64);

/// The directory of a log.
#[derive(Debug)]
pub(super) struct LogDir {
    dir: OwnedFd,
    /// Name of the newest file.
    name: String,
}

/// One of the files, open.
#[derive(Debug)]
pub(super) struct Generation {
    content: Content,
    id: Id,
    /// What it was called when it was opened.
    name: String,
}

#[derive(Debug)]
enum Content {
    Plain(File),
    Compressed(Box<MultiGzDecoder<File>>),
}

/// What comes after a file.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing: it is the newest, and has its name.
    Itself,
    /// Nothing yet: it was renamed, and the runtime has not made a new one.
    NotYet,
    /// This one.
    File(Generation),
}

impl LogDir {
    /// Opens the directory of a log beneath `root`.
    ///
    /// # Errors
    /// It is not there, or not beneath `root` without links.
    pub(super) fn open(root: &Path, log: &Path) -> io::Result<Self> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "this is no path of a log file");
        let name = log.file_name().and_then(OsStr::to_str).ok_or_else(invalid)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = log_files::beneath(root, log.parent().ok_or_else(invalid)?, flags)?;
        Ok(Self { dir, name: name.to_owned() })
    }

    /// Name of the newest file.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A path to the directory that means this very one as long as it is open.
    pub(super) fn own_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))
    }

    /// Opens the newest file; between a rename and what the runtime makes then, that is the one that was renamed.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub(super) fn newest(&self) -> io::Result<Generation> {
        for _ in 0..TRIES {
            match self.open_name(&self.name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
            match self.rotated()?.last() {
                None => break,
                Some(name) => {
                    if let Some(found) = self.open_rotated(name)? {
                        return Ok(found);
                    }
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// What comes after a file that was read to its end.
    ///
    /// # Errors
    /// As `openat(2)` and `readdir(3)`.
    pub(super) fn next(&self, after: &Generation) -> io::Result<Next> {
        for _ in 0..TRIES {
            if self.id_of(&self.name)? == Some(after.id) {
                return Ok(Next::Itself);
            }
            // First the newest, then the names: whatever was rotated before the newest was made has its name by then.
            let newest = match self.open_name(&self.name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                opened => Some(opened?),
            };
            if newest.as_ref().is_some_and(|newest| newest.id == after.id) {
                return Ok(Next::Itself);
            }
            let called = after.rotated_as(&self.name);
            let later = match &called {
                Some(called) => self.rotated()?.into_iter().find(|name| name > called),
                // Somebody else took it away: nothing tells which come after it.
                None => None,
            };
            match (later, newest) {
                (Some(later), _) => {
                    if let Some(found) = self.open_rotated(&later)? {
                        return Ok(Next::File(found));
                    }
                }
                (None, Some(newest)) => return Ok(Next::File(newest)),
                (None, None) => return Ok(Next::NotYet),
            }
        }
        Ok(Next::NotYet)
    }

    /// Names of what was rotated, oldest first, without what compression added.
    fn rotated(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = list(&self.dir)?
            .iter()
            .filter_map(|name| log_rotation::rotated_name(&self.name, name).map(str::to_owned))
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Opens a rotated file in whatever form it is there; `None` when it has just been removed.
    fn open_rotated(&self, name: &str) -> io::Result<Option<Generation>> {
        match self.open_name(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map(Some),
        }
        match self.open_file(&log_rotation::compressed_name(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok((file, id)) => {
                let content = Content::Compressed(Box::new(MultiGzDecoder::new(file)));
                Ok(Some(Generation { content, id, name: name.to_owned() }))
            }
        }
    }

    fn open_name(&self, name: &str) -> io::Result<Generation> {
        let (file, id) = self.open_file(name)?;
        Ok(Generation { content: Content::Plain(file), id, name: name.to_owned() })
    }

    fn open_file(&self, name: &str) -> io::Result<(File, Id)> {
        let file = open_in(&self.dir, name)?;
        let metadata = file.metadata()?;
        Ok((file, (metadata.dev(), metadata.ino())))
    }

    fn id_of(&self, name: &str) -> io::Result<Option<Id>> {
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some((found.st_dev, found.st_ino))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Generation {
    /// Only what nobody writes any more is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.content, Content::Compressed(_))
    }

    /// Skips what is before the last lines.
    ///
    /// # Errors
    /// As [`super::tail::start`]; nothing is skipped in a compressed file.
    pub(super) fn skip_to_last(&mut self, lines: u64, go_on: impl Fn() -> bool) -> io::Result<()> {
        if let Content::Plain(file) = &mut self.content {
            let start = super::tail::start(file, lines, go_on)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(())
    }

    /// Begins anew if the file is shorter than what was read of it: somebody emptied it in place.
    ///
    /// # Errors
    /// As `fstat(2)` and `lseek(2)`.
    pub(super) fn rewind_if_cut(&mut self) -> io::Result<bool> {
        let Content::Plain(file) = &mut self.content else { return Ok(false) };
        let cut = file.metadata()?.len() < file.stream_position()?;
        if cut {
            file.rewind()?;
        }
        Ok(cut)
    }

    /// The name under which it was rotated, also when it was removed since; `None` if it was not, as far as its name
    /// tells.
    pub(super) fn rotated_as(&self, log: &str) -> Option<String> {
        let called = match &self.content {
            Content::Compressed(_) => OsString::from(&self.name),
            Content::Plain(file) => {
                let link =
                    rustix::fs::readlink(format!("/proc/self/fd/{}", file.as_raw_fd()), Vec::new()).ok()?;
                let path = link.to_bytes();
                let path = Path::new(OsStr::from_bytes(path.strip_suffix(REMOVED).unwrap_or(path)));
                path.file_name()?.to_owned()
            }
        };
        let called = called.into_string().ok()?;
        log_rotation::rotated_name(log, &called).is_some().then_some(called)
    }
}

impl Read for Generation {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Plain(file) => file.read(buffer),
            Content::Compressed(decoder) => decoder.read(buffer),
        }
    }
}

/// Opens a plain file in a directory, never through a link.
pub(crate) fn open_in(dir: impl AsFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not a regular file")))
    }
}

/// Names in a directory. What is not UTF-8 is none of ours.
pub(crate) fn list(dir: impl AsFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        if let Ok(name) = entry?.file_name().to_str() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

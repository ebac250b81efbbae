//! Reads a log's files in blocks, on the blocking pool.
//!
//! Memory: one block, what the [`Selector`] holds back, and what a block makes.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use seams::logs::{LogError, LogOptions};

use super::{
    generations::{Generation, LogDir, Next},
    select::{Selector, Wanted},
};

/// How much is read at once.
const BLOCK: usize = 32 * 1024;
/// Blocks of which nothing was wanted, after which it is looked whether somebody still waits: 4 MiB, some milliseconds.
const BLOCKS_AT_ONCE: usize = 128;

/// One log being read.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    dir: LogDir,
    open: Generation,
    selector: Selector,
    buffer: Box<[u8]>,
}

/// How far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// There is more in this file.
    Middle,
    /// The end of this file as it is now.
    End,
    /// Whatever comes is not wanted.
    Limit,
}

/// What the newest look at the names told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The open file is the newest.
    Newest,
    /// It was renamed, and there is no newer one yet.
    Renamed,
    /// There is a newer one.
    Behind,
}

impl Reader {
    /// Opens the newest file and goes to where reading begins.
    pub(super) fn open(
        root: &Path,
        path: &Path,
        options: &LogOptions,
        go_on: impl Fn() -> bool,
    ) -> Result<Self, LogError> {
        let failed = |source| LogError::File { path: path.to_owned(), source };
        let dir = LogDir::open(root, path).map_err(failed)?;
        let mut open = dir.newest().map_err(failed)?;
        if let Some(lines) = options.tail_lines {
            open.skip_to_last(lines, go_on).map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            dir,
            open,
            selector: Selector::new(options),
            buffer: vec![0; BLOCK].into_boxed_slice(),
        })
    }

    pub(super) fn dir(&self) -> &LogDir {
        &self.dir
    }

    /// Name under which the open file was rotated.
    pub(super) fn rotated_as(&self) -> Option<String> {
        self.open.rotated_as(self.dir.name())
    }

    /// Whether the open file is of a kind that nobody writes any more.
    pub(super) fn is_compressed(&self) -> bool {
        self.open.is_compressed()
    }

    /// Reads on until there is something to send, or nothing more to read.
    pub(super) fn advance(&mut self) -> Result<(Bytes, Reached), LogError> {
        let mut out = Vec::new();
        if self.selector.wanted() == Wanted::NoMore {
            return Ok((Bytes::new(), Reached::Limit));
        }
        for _ in 0..BLOCKS_AT_ONCE {
            let read = match self.open.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(|source| self.failed(source))?,
            };
            if read == 0 {
                return Ok((out.into(), Reached::End));
            }
            if self.selector.take(&self.buffer[..read], &mut out) == Wanted::NoMore {
                return Ok((out.into(), Reached::Limit));
            }
            if !out.is_empty() {
                break;
            }
        }
        Ok((out.into(), Reached::Middle))
    }

    /// The open file gets no longer: gives what was begun of its last line.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        self.selector.end(&mut out);
        out.into()
    }

    /// Where the open file stands among the others.
    pub(super) fn position(&mut self) -> Result<Position, LogError> {
        match self.dir.next(&self.open).map_err(|source| self.failed(source))? {
            Next::Itself => {
                if self.open.rewind_if_cut().map_err(|source| self.failed(source))? {
                    tracing::debug!(log = %self.path.display(), "A log was emptied in place; reading it from its beginning");
                }
                Ok(Position::Newest)
            }
            Next::NotYet => Ok(Position::Renamed),
            Next::File(_) => Ok(Position::Behind),
        }
    }

    /// Goes on to the next file, if there is one: gives what was begun of the last line of the one before.
    pub(super) fn go_on_to_next(&mut self) -> Result<Bytes, LogError> {
        match self.dir.next(&self.open).map_err(|source| self.failed(source))? {
            Next::File(next) => {
                let rest = self.finish();
                self.open = next;
                Ok(rest)
            }
            Next::Itself | Next::NotYet => Ok(Bytes::new()),
        }
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::File { path: self.path.clone(), source }
    }
}

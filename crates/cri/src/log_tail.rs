//! The end of a container's log, for termination messages: the content of the last 80 lines, at most the last 2 KiB.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use crate::log_files;

/// Lines looked at (upstream's `MaxContainerTerminationMessageLogLines`).
const LINES: usize = 80;
/// Bytes kept (upstream's `MaxContainerTerminationMessageLogLength`).
const BYTES: usize = 2 * 1024;
/// How much of the file's end can matter: a line's header is about 50 bytes, so 80 of them leave ample room for
/// [`BYTES`] of content.
const WINDOW: u64 = 64 * 1024;

/// Reads it. `path` has to lie beneath `root`, without links.
///
/// # Errors
/// Opening or reading fails, or `path` lies elsewhere.
pub(crate) fn last_words(root: &Path, path: &Path) -> io::Result<String> {
    let mut file: File = log_files::open_beneath(root, path)?;
    let size = file.metadata()?.len();
    let start = size.saturating_sub(WINDOW);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(WINDOW).read_to_end(&mut bytes)?;
    Ok(end_of(&bytes, start > 0))
}

/// `cut`: the first line has lost its beginning.
fn end_of(window: &[u8], cut: bool) -> String {
    let lines: Vec<&[u8]> = window.split_inclusive(|b| *b == b'\n').collect();
    let from = lines.len().saturating_sub(LINES);
    let mut content = Vec::new();
    for (index, line) in lines.iter().enumerate().skip(from) {
        if index == 0 && cut {
            // What is left of a long line is content.
            content.extend_from_slice(line);
        } else if let Some(text) = content_of(line) {
            content.extend_from_slice(text);
        }
    }
    let keep = content.len().saturating_sub(BYTES);
    String::from_utf8_lossy(&content[keep..]).into_owned()
}

/// `<time> <stream> <tags> <content>`; partial lines lose their newline. `None` for what is no log line.
fn content_of(line: &[u8]) -> Option<&[u8]> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let (_time, stream, tags, content) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if stream != b"stdout" && stream != b"stderr" {
        return None;
    }
    let partial = tags.split(|b| *b == b':').next() == Some(b"P");
    if partial { Some(content.strip_suffix(b"\n").unwrap_or(content)) } else { Some(content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: &str, tag: &str, text: &str) -> String {
        format!("2024-01-01T00:00:00.000000000Z {stream} {tag} {text}\n")
    }

    #[test]
    fn both_streams_joined_partial_lines_glued() {
        let log = [
            line("stdout", "F", "one"),
            line("stderr", "P", "tw"),
            line("stderr", "F", "o"),
            "rubbish\n".to_owned(),
            line("stdout", "F", ""),
        ];
        assert_eq!(end_of(log.concat().as_bytes(), false), "one\ntwo\n\n");
    }

    #[test]
    fn last_80_lines_and_last_2_kib() {
        let many: String = (0..200).map(|n| line("stdout", "F", &n.to_string())).collect();
        let end = end_of(many.as_bytes(), false);
        assert!(end.starts_with("120\n") && end.ends_with("199\n"), "{end}");
        let long = line("stdout", "F", &"x".repeat(5000));
        assert_eq!(end_of(long.as_bytes(), false).len(), BYTES);
    }

    #[test]
    fn a_line_longer_than_the_window_keeps_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, line("stderr", "F", &format!("{}THE END", "y".repeat(100_000)))).unwrap();
        let end = last_words(dir.path(), &path).unwrap();
        assert_eq!(end.len(), BYTES);
        assert!(end.ends_with("THE END\n"));
    }
}

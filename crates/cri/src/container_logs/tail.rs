//! Where the last lines of a file begin, found from its end.

use std::{fs::File, io, os::unix::fs::FileExt};

/// How much is read at once.
const BLOCK: u64 = 16 * 1024;

/// Offset of the first of the last `lines` lines; 0 if there are fewer. What has no newline yet is not counted, and comes
/// behind them. Every line of the file counts, partial ones too (as upstream counts).
///
/// `go_on` is asked before each block: nobody may want to know any more.
///
/// # Errors
/// As `pread(2)`; [`io::ErrorKind::Interrupted`] when it is not to go on.
pub(super) fn start(file: &File, lines: u64, go_on: impl Fn() -> bool) -> io::Result<u64> {
    let mut right = file.metadata()?.len();
    let mut newlines = 0;
    let mut buffer = vec![0; usize::try_from(BLOCK).unwrap_or_default()];
    while right > 0 {
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let left = right.saturating_sub(BLOCK);
        let block = &mut buffer[..usize::try_from(right - left).unwrap_or_default()];
        match file.read_exact_at(block, left) {
            // It has just been cut: what is left of it is looked at.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => block.fill(0),
            read => read?,
        }
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            if newlines == lines {
                return Ok(left + at as u64 + 1);
            }
            newlines += 1;
        }
        right = left;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use proptest::prelude::*;

    use super::*;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        file
    }

    /// The plain way.
    fn model(content: &[u8], lines: u64) -> u64 {
        let ends: Vec<usize> = (0..content.len()).filter(|at| content[*at] == b'\n').collect();
        let before = ends.len().checked_sub(usize::try_from(lines).unwrap() + 1);
        before.map_or(0, |index| ends[index] as u64 + 1)
    }

    #[test]
    fn few_blocks_are_read_for_few_lines() {
        let content = "x".repeat(99) + "\n";
        let content = content.repeat(100_000);
        let asked = std::cell::Cell::new(0);
        let count = || {
            asked.set(asked.get() + 1);
            true
        };
        assert_eq!(start(&file(content.as_bytes()), 10, count).unwrap(), 10_000_000 - 1000);
        assert_eq!(asked.get(), 1);
        let error = start(&file(content.as_bytes()), u64::MAX, || false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }

    proptest! {
        #[test]
        fn as_counted_from_the_front(
            lengths in prop::collection::vec(prop_oneof![0_usize..20, 16_000_usize..17_000], 0..12),
            rest in 0_usize..3,
            lines in 0_u64..14,
        ) {
            let mut content: Vec<u8> =
                lengths.iter().flat_map(|length| ["y".repeat(*length), "\n".into()].concat().into_bytes()).collect();
            content.extend(std::iter::repeat_n(b'z', rest));
            prop_assert_eq!(start(&file(&content), lines, || true).unwrap(), model(&content, lines));
        }
    }
}

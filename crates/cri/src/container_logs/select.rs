//! Which bytes of a log file are sent: upstream's rules, on blocks as they are read.
//!
//! * A line that is none is passed over.
//! * The newline of a partial line is none of the container's. A timestamp stands only where the text before ended with
//!   a newline, whatever stream it was of.
//! * A line of a stream that is not wanted, or older than wanted, counts as a line but not in bytes.
//! * Without following, no more than the wanted number of last lines are sent, however many were added meanwhile.
//!
//! Invariant: what is held back between blocks is at most one line, and no more than [`LONGEST`] and a block of it. A
//! longer one is sent in pieces.

use jiff::Timestamp;
use seams::logs::{LogOptions, LogStream};

use super::line::Header;

/// A line of more bytes is not kept until its end is there. Runtimes cut lines at 16 KiB, unless told otherwise.
pub(super) const LONGEST: usize = 32 * 1024;

/// Whether there can be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    More,
    NoMore,
}

/// The state between blocks.
#[derive(Debug)]
pub(super) struct Selector {
    since: Option<Timestamp>,
    timestamps: bool,
    stream: LogStream,
    /// Bytes that may still be sent.
    bytes_left: u64,
    /// Lines that may still be read; `None` without limit.
    lines_left: Option<u64>,
    /// Whether the text before ended with a newline.
    at_line_start: bool,
    /// The beginning of a line whose end was not read yet.
    begun: Vec<u8>,
    /// In a line that was too long to keep.
    long: Option<Long>,
}

/// What is known about a line whose beginning was sent.
#[derive(Clone, Copy, Debug)]
enum Long {
    /// No line at all.
    Malformed,
    Line {
        sent: bool,
        partial: bool,
    },
}

impl Selector {
    pub(super) fn new(options: &LogOptions) -> Self {
        Self {
            since: options.since,
            timestamps: options.timestamps,
            stream: options.stream,
            bytes_left: options.limit_bytes.unwrap_or(u64::MAX),
            lines_left: options.tail_lines.filter(|_| !options.follow),
            at_line_start: true,
            begun: Vec::new(),
            long: None,
        }
    }

    /// Whether anything that is to come can be wanted.
    pub(super) fn wanted(&self) -> Wanted {
        if self.bytes_left == 0 || self.lines_left == Some(0) { Wanted::NoMore } else { Wanted::More }
    }

    /// Takes the next bytes of the file and puts what is wanted of them behind `out`.
    pub(super) fn take(&mut self, block: &[u8], out: &mut Vec<u8>) -> Wanted {
        for piece in block.split_inclusive(|byte| *byte == b'\n') {
            if self.wanted() == Wanted::NoMore {
                break;
            }
            let ends = piece.ends_with(b"\n");
            if self.long.is_some() {
                self.go_on(piece, ends, out);
            } else if ends && self.begun.is_empty() {
                self.line(piece, out);
            } else {
                self.begun.extend_from_slice(piece);
                if ends || self.begun.len() > LONGEST {
                    let begun = std::mem::take(&mut self.begun);
                    if ends {
                        self.line(&begun, out)
                    } else {
                        self.begin_long(&begun, out)
                    }
                    // The room is kept for the next one.
                    self.begun = begun;
                    self.begun.clear();
                }
            }
        }
        self.wanted()
    }

    /// The file ends here: what was begun is all there is of the last line.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Wanted {
        let begun = std::mem::take(&mut self.begun);
        match self.long.take() {
            Some(_) => self.count_line(),
            None if !begun.is_empty() && self.wanted() == Wanted::More => self.line(&begun, out),
            None => {}
        }
        self.wanted()
    }

    /// A whole line.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        match Header::read(line) {
            Ok(header) => {
                let text = &line[header.text_at..];
                let text = if header.partial { text.strip_suffix(b"\n").unwrap_or(text) } else { text };
                if self.is_wanted(&header) {
                    self.stamp(&header, out);
                    self.send(text, out);
                }
                self.at_line_start = text.last().is_none_or(|last| *last == b'\n');
                self.count_line();
            }
            Err(error) => {
                tracing::debug!(%error, bytes = line.len(), "Passing over a line of a log that is none")
            }
        }
    }

    /// The beginning of a line that is too long to keep.
    fn begin_long(&mut self, begun: &[u8], out: &mut Vec<u8>) {
        self.long = Some(match Header::read(begun) {
            Ok(header) => {
                let sent = self.is_wanted(&header);
                if sent {
                    self.stamp(&header, out);
                    self.send(&begun[header.text_at..], out);
                }
                self.at_line_start = false;
                Long::Line { sent, partial: header.partial }
            }
            Err(error) => {
                tracing::debug!(%error, "Passing over a long line of a log that is none");
                Long::Malformed
            }
        });
    }

    /// More of a long line.
    fn go_on(&mut self, piece: &[u8], ends: bool, out: &mut Vec<u8>) {
        if let Some(Long::Line { sent, partial }) = self.long {
            let text = if partial { piece.strip_suffix(b"\n").unwrap_or(piece) } else { piece };
            if sent {
                self.send(text, out);
            }
            if ends {
                self.at_line_start = !partial;
                self.count_line();
            }
        }
        if ends {
            self.long = None;
        }
    }

    fn is_wanted(&self, header: &Header<'_>) -> bool {
        let stream = self.stream == LogStream::All || self.stream == header.stream;
        stream && self.since.is_none_or(|since| header.time >= since)
    }

    fn count_line(&mut self) {
        if let Some(left) = &mut self.lines_left {
            *left = left.saturating_sub(1);
        }
    }

    fn stamp(&mut self, header: &Header<'_>, out: &mut Vec<u8>) {
        if self.timestamps && self.at_line_start {
            let from = out.len();
            header.show_stamp(out);
            self.cut(from, out);
        }
    }

    fn send(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(text);
        self.cut(from, out);
    }

    /// Keeps of what was put behind `from` what may be sent.
    fn cut(&mut self, from: usize, out: &mut Vec<u8>) {
        let more = out.len() - from;
        let may = usize::try_from(self.bytes_left).unwrap_or(usize::MAX).min(more);
        out.truncate(from + may);
        self.bytes_left -= may as u64;
    }
}

#[cfg(test)]
mod tests;

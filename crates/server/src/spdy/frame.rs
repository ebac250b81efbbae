//! Frames: SPDY/3.1, draft-mbelshe-httpbis-spdy-00 section 2.2 and following.
//!
//! Control frames are read as a whole and are small; the payload of a data frame comes in pieces as it arrives, so that
//! its length, up to 16 MiB, is never held.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Head of any frame, bytes.
const HEAD: usize = 8;
/// Longest control frame that is read, bytes: header blocks of replies are the longest, and are empty as a rule.
const LONGEST_CONTROL: usize = 64 << 10;
const CONTROL: u32 = 1 << 31;
const VERSION: u32 = 3;
const FIN: u8 = 1;
/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW: u32 = 7;
/// Longest payload of a data frame: its length has 24 bits.
pub(super) const LONGEST_DATA: usize = (1 << 24) - 1;

const SYN_STREAM: u32 = 1;
const SYN_REPLY: u32 = 2;
const RST_STREAM: u32 = 3;
const SETTINGS: u32 = 4;
const PING: u32 = 6;
const GOAWAY: u32 = 7;
const HEADERS: u32 = 8;
const WINDOW_UPDATE: u32 = 9;
/// Kinds that are read.
const KNOWN: [u32; 8] = [SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE];

/// Why the bytes are no SPDY/3.1. The connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Another version.
    #[error("a control frame of SPDY version {0}, not 3")]
    Version(u32),
    /// Longer than any that has a use here.
    #[error("a control frame of {0} bytes")]
    TooLong(usize),
    /// Shorter than its kind is.
    #[error("a control frame of type {kind} with {length} bytes")]
    TooShort {
        /// Number of its kind.
        kind: u32,
        /// Its payload, bytes.
        length: usize,
    },
    /// A frame of a stream, without one.
    #[error("a frame of type {0} for stream 0")]
    NoStream(u32),
    /// A window grew beyond what the protocol can count.
    #[error("the window of stream {0} overflowed")]
    Window(u32),
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// `SYN_STREAM`: it opens a stream of its own.
    Opened { id: u32 },
    /// `SYN_REPLY`, and whether it will send nothing.
    Reply { id: u32, fin: bool },
    /// `HEADERS`, and whether nothing comes behind.
    Headers { id: u32, fin: bool },
    /// `RST_STREAM`.
    Reset { id: u32, status: u32 },
    /// `SETTINGS`; only the size of new windows has a meaning here.
    Settings { initial_window: Option<u32> },
    /// `PING`.
    Ping { id: u32 },
    /// `GOAWAY`.
    GoAway { last: u32 },
    /// `WINDOW_UPDATE`; stream 0 is the connection.
    Window { id: u32, more: u32 },
    /// A piece of a data frame; `fin` only with the last one.
    Data { id: u32, bytes: Bytes, fin: bool },
}

/// What is left of a data frame whose head was read.
#[derive(Debug)]
struct Rest {
    id: u32,
    left: usize,
    fin: bool,
}

/// Finds frames in a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    rest: Option<Rest>,
    /// Bytes of a control frame without a meaning here that are still to come.
    skip: usize,
}

impl Decoder {
    /// Takes the next frame, or piece of one, from the front; `None` when more bytes are needed.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        loop {
            if self.skip > 0 {
                let skipped = self.skip.min(input.len());
                input.advance(skipped);
                self.skip -= skipped;
                if self.skip > 0 {
                    return Ok(None);
                }
            }
            if let Some(rest) = self.rest.take() {
                return Ok(self.piece(rest, input));
            }
            let Some(&head) = input.first_chunk::<HEAD>() else { return Ok(None) };
            let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let (flags, length) = (head[4], u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize);
            if word & CONTROL == 0 {
                if word == 0 {
                    return Err(FrameError::NoStream(0));
                }
                input.advance(HEAD);
                self.rest = Some(Rest { id: word, left: length, fin: flags & FIN != 0 });
                continue;
            }
            let (version, kind) = (word >> 16 & 0x7fff, word & 0xffff);
            if version != VERSION {
                return Err(FrameError::Version(version));
            }
            if length > LONGEST_CONTROL {
                return Err(FrameError::TooLong(length));
            }
            if !KNOWN.contains(&kind) {
                // Kinds that nobody knows are to be ignored.
                input.advance(HEAD);
                self.skip = length;
                continue;
            }
            if input.len() < HEAD + length {
                return Ok(None);
            }
            input.advance(HEAD);
            return control(kind, flags & FIN != 0, input.split_to(length).freeze()).map(Some);
        }
    }

    /// As much of a data frame as is there; a frame without payload is one empty piece.
    fn piece(&mut self, rest: Rest, input: &mut BytesMut) -> Option<Frame> {
        let Rest { id, left, fin } = rest;
        let take = left.min(input.len());
        if take == 0 && left > 0 {
            self.rest = Some(rest);
            return None;
        }
        let left = left - take;
        if left > 0 {
            self.rest = Some(Rest { id, left, fin });
        }
        Some(Frame::Data { id, bytes: input.split_to(take).freeze(), fin: fin && left == 0 })
    }
}

fn control(kind: u32, fin: bool, mut payload: Bytes) -> Result<Frame, FrameError> {
    let length = payload.len();
    let mut word = || payload.try_get_u32().map_err(|_| FrameError::TooShort { kind, length });
    let id = |word: u32| match word & !CONTROL {
        0 => Err(FrameError::NoStream(kind)),
        id => Ok(id),
    };
    Ok(match kind {
        SYN_STREAM => Frame::Opened { id: id(word()?)? },
        SYN_REPLY => Frame::Reply { id: id(word()?)?, fin },
        HEADERS => Frame::Headers { id: id(word()?)?, fin },
        RST_STREAM => Frame::Reset { id: id(word()?)?, status: word()? },
        PING => Frame::Ping { id: word()? },
        GOAWAY => Frame::GoAway { last: word()? & !CONTROL },
        WINDOW_UPDATE => Frame::Window { id: word()? & !CONTROL, more: word()? & !CONTROL },
        // `SETTINGS`, the only one left.
        _ => {
            let _count = word()?;
            let mut initial_window = None;
            // As many as there are, whatever the count says.
            while let (Ok(name), Ok(value)) = (word(), word()) {
                if name & 0x00ff_ffff == INITIAL_WINDOW {
                    initial_window = Some(value & !CONTROL);
                }
            }
            Frame::Settings { initial_window }
        }
    })
}

fn put_control(out: &mut BytesMut, kind: u32, flags: u8, length: usize) {
    out.put_u32(CONTROL | VERSION << 16 | kind);
    put_length(out, flags, length);
}

/// Flags and a length of 24 bits; callers keep below.
fn put_length(out: &mut BytesMut, flags: u8, length: usize) {
    let length = u32::try_from(length.min(LONGEST_DATA)).unwrap_or_default();
    out.put_u32(u32::from(flags) << 24 | length);
}

/// `SYN_STREAM` of the lowest priority number, 0, with a compressed header block.
pub(super) fn put_open(out: &mut BytesMut, id: u32, block: &[u8]) {
    put_control(out, SYN_STREAM, 0, 10 + block.len());
    out.put_u32(id);
    // No associated stream, no priority, no slot.
    out.put_u32(0);
    out.put_u16(0);
    out.put_slice(block);
}

/// A data frame; at most [`LONGEST_DATA`] bytes.
pub(super) fn put_data(out: &mut BytesMut, id: u32, bytes: &[u8], fin: bool) {
    out.put_u32(id);
    put_length(out, if fin { FIN } else { 0 }, bytes.len());
    out.put_slice(bytes);
}

/// `RST_STREAM`.
pub(super) fn put_reset(out: &mut BytesMut, id: u32, status: u32) {
    put_control(out, RST_STREAM, 0, 8);
    out.put_u32(id);
    out.put_u32(status);
}

/// `PING`.
pub(super) fn put_ping(out: &mut BytesMut, id: u32) {
    put_control(out, PING, 0, 4);
    out.put_u32(id);
}

/// `GOAWAY`: everything is well.
pub(super) fn put_go_away(out: &mut BytesMut, last: u32) {
    put_control(out, GOAWAY, 0, 8);
    out.put_u32(last);
    out.put_u32(0);
}

/// `WINDOW_UPDATE`.
pub(super) fn put_window(out: &mut BytesMut, id: u32, more: u32) {
    put_control(out, WINDOW_UPDATE, 0, 8);
    out.put_u32(id);
    out.put_u32(more);
}

#[cfg(test)]
mod tests;

//! One SPDY/3.1 connection as its client sees it.
//!
//! ```text
//!   stream:  opened ─ reply ─▶ replied      what is written waits for the reply and for the windows
//!            own side:   open ─ finish ─▶ asked ─ all is sent ─▶ finished
//!            other side: open ─ FIN, RST or GOAWAY ─▶ ended
//! ```
//!
//! Windows count with a server that ever says anything of windows: then what is sent keeps within them, and what arrives
//! is acknowledged as it is handed on. The library behind containerd's and CRI-O's streaming servers never does. Waiting
//! for its word would stop every stream after 64 KiB; and an acknowledgement that it has not read when it closes makes the
//! kernel throw away what it said last, the status. There the socket is the limit.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{
    FrameError,
    frame::{Decoder, Frame, put_data, put_go_away, put_open, put_ping, put_reset, put_window},
    headers::HeaderWriter,
};

/// Size of a window that nobody changed, bytes (section 2.6.8).
const WINDOW: u32 = 64 << 10;
/// Largest window.
const LARGEST_WINDOW: i64 = (1 << 31) - 1;
/// What was received is acknowledged when it is this much, bytes: half a window.
const ACKNOWLEDGE: u32 = WINDOW / 2;
/// Payload of one data frame, bytes.
const PIECE: usize = 32 << 10;
/// Frames that wait for the socket, bytes, above which no data is put behind them.
const WAITING: usize = 64 << 10;
/// The same for answers to pings and the like: a server that asks without reading gets none.
const WAITING_ANSWERS: usize = 2 * WAITING;
/// `REFUSED_STREAM`.
const REFUSED: u32 = 3;

/// A stream of the client: odd, and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(u32);

/// How the other side ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It said all.
    Finished,
    /// `RST_STREAM` with this status, or the connection goes away without having taken the stream.
    Reset(u32),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The server took the stream.
    Replied(StreamId),
    /// Bytes of a stream, in order.
    Data(StreamId, Bytes),
    /// The other side will send nothing more on it.
    Ended(StreamId, End),
}

#[derive(Debug, PartialEq, Eq)]
enum Own {
    Open,
    /// To be finished behind what waits.
    Asked,
    Finished,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    replied: bool,
    own: Own,
    ended: bool,
    waiting: VecDeque<Bytes>,
    /// Bytes that may still be sent; below zero with a server that counts none.
    window: i64,
    /// Received and not acknowledged, bytes.
    received: u32,
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Session {
    decoder: Decoder,
    headers: HeaderWriter,
    streams: Vec<Stream>,
    events: VecDeque<Event>,
    outgoing: BytesMut,
    /// Size of the windows of new streams.
    initial_window: i64,
    window: i64,
    received: u32,
    /// Whether the server counts windows, of streams and of the connection.
    counts_streams: bool,
    counts_connection: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            decoder: Decoder::default(),
            headers: HeaderWriter::default(),
            streams: Vec::new(),
            events: VecDeque::new(),
            outgoing: BytesMut::new(),
            initial_window: WINDOW.into(),
            window: WINDOW.into(),
            received: 0,
            counts_streams: false,
            counts_connection: false,
        }
    }
}

impl Session {
    /// Opens a stream with headers; names are lower case.
    pub(crate) fn open(&mut self, headers: &[(&str, &str)]) -> StreamId {
        let id = self.streams.last().map_or(1, |last| last.id + 2);
        let block = self.headers.block(headers);
        put_open(&mut self.outgoing, id, &block);
        self.streams.push(Stream {
            id,
            replied: false,
            own: Own::Open,
            ended: false,
            waiting: VecDeque::new(),
            window: self.initial_window,
            received: 0,
        });
        StreamId(id)
    }

    /// Bytes for a stream. They are dropped when it was finished here, or reset there.
    pub(crate) fn write(&mut self, id: StreamId, bytes: Bytes) {
        if let Some(stream) = self.stream(id.0)
            && stream.own == Own::Open
            && !bytes.is_empty()
        {
            stream.waiting.push_back(bytes);
        }
    }

    /// Ends this side of a stream, behind what was written.
    pub(crate) fn finish(&mut self, id: StreamId) {
        if let Some(stream) = self.stream(id.0)
            && stream.own == Own::Open
        {
            stream.own = Own::Asked;
        }
    }

    /// Tells the server that nothing more is wanted.
    pub(crate) fn leave(&mut self) {
        // The server has opened no stream that was taken.
        put_go_away(&mut self.outgoing, 0);
    }

    /// Whether there is room for more to write: what is written goes on a socket that takes it, and nothing waits.
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.len() < WAITING && self.streams.iter().all(|stream| stream.waiting.is_empty())
    }

    /// Whether every stream was taken or ended.
    pub(crate) fn is_settled(&self) -> bool {
        self.streams.iter().all(|stream| stream.replied || stream.ended)
    }

    /// Frames for the socket. Whoever sends some takes them from the front.
    pub(crate) fn outgoing(&mut self) -> &mut BytesMut {
        self.send_waiting();
        &mut self.outgoing
    }

    /// Takes frames from the front of what was received, up to the next event; `None` when more bytes are needed.
    pub(crate) fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let Some(frame) = self.decoder.next(input)? else { return Ok(None) };
            self.take(frame)?;
        }
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }

    fn take(&mut self, frame: Frame) -> Result<(), FrameError> {
        match frame {
            // Nothing here is for the server to open.
            Frame::Opened { id } => self.answer(|out| put_reset(out, id, REFUSED)),
            Frame::Reply { id, fin } => {
                if let Some(stream) = self.stream(id)
                    && !stream.replied
                {
                    stream.replied = true;
                    self.events.push_back(Event::Replied(StreamId(id)));
                }
                if fin {
                    self.end(id, End::Finished);
                }
            }
            Frame::Headers { id, fin } => {
                if fin {
                    self.end(id, End::Finished);
                }
            }
            Frame::Reset { id, status } => self.reset(id, status),
            Frame::Settings { initial_window } => {
                if let Some(size) = initial_window {
                    let more = i64::from(size) - self.initial_window;
                    self.initial_window = size.into();
                    self.counts_streams = true;
                    for stream in &mut self.streams {
                        stream.window = grown(stream.id, stream.window, more)?;
                    }
                }
            }
            // Numbers of pings are even when the server asks, and odd in an answer.
            Frame::Ping { id } if id % 2 == 0 => self.answer(|out| put_ping(out, id)),
            Frame::Ping { .. } => {}
            Frame::GoAway { last } => {
                let lost: Vec<u32> =
                    self.streams.iter().filter(|s| s.id > last && !s.replied).map(|s| s.id).collect();
                for id in lost {
                    self.reset(id, REFUSED);
                }
            }
            Frame::Window { id: 0, more } => {
                self.counts_connection = true;
                self.window = grown(0, self.window, more.into())?;
            }
            Frame::Window { id, more } => {
                self.counts_streams = true;
                if let Some(stream) = self.stream(id) {
                    stream.window = grown(id, stream.window, more.into())?;
                }
            }
            Frame::Data { id, bytes, fin } => {
                self.acknowledge(id, bytes.len());
                if let Some(stream) = self.stream(id)
                    && !stream.ended
                    && !bytes.is_empty()
                {
                    self.events.push_back(Event::Data(StreamId(id), bytes));
                }
                if fin {
                    self.end(id, End::Finished);
                }
            }
        }
        Ok(())
    }

    /// An answer to something that the server asks, unless it does not read answers.
    fn answer(&mut self, put: impl FnOnce(&mut BytesMut)) {
        if self.outgoing.len() < WAITING_ANSWERS {
            put(&mut self.outgoing);
        }
    }

    fn end(&mut self, id: u32, end: End) {
        if let Some(stream) = self.stream(id)
            && !stream.ended
        {
            stream.ended = true;
            self.events.push_back(Event::Ended(StreamId(id), end));
        }
    }

    fn reset(&mut self, id: u32, status: u32) {
        if let Some(stream) = self.stream(id) {
            stream.waiting.clear();
            stream.own = Own::Finished;
        }
        self.end(id, End::Reset(status));
    }

    /// Gives the server back what it may send, of the stream and of the connection.
    fn acknowledge(&mut self, id: u32, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let may_answer = self.outgoing.len() < WAITING_ANSWERS;
        let due = |received: &mut u32, counts: bool| {
            *received = received.saturating_add(length);
            let is_due = counts && may_answer && *received >= ACKNOWLEDGE;
            if is_due { Some(std::mem::take(received)) } else { None }
        };
        let counts = self.counts_streams;
        let of_stream =
            self.stream(id).filter(|stream| !stream.ended).and_then(|s| due(&mut s.received, counts));
        let of_all = due(&mut self.received, self.counts_connection);
        for (id, more) in [(id, of_stream), (0, of_all)] {
            if let Some(more) = more {
                put_window(&mut self.outgoing, id, more.min(LARGEST_WINDOW as u32));
            }
        }
    }

    /// Puts what waits into frames, as far as replies, windows and the socket allow.
    fn send_waiting(&mut self) {
        for stream in &mut self.streams {
            if !stream.replied {
                continue;
            }
            while self.outgoing.len() < WAITING
                && let Some(bytes) = stream.waiting.front_mut()
            {
                let mut room = PIECE as i64;
                if self.counts_streams {
                    room = room.min(stream.window);
                }
                if self.counts_connection {
                    room = room.min(self.window);
                }
                let Some(room) = usize::try_from(room).ok().filter(|room| *room > 0) else { break };
                let piece = bytes.split_to(room.min(bytes.len()));
                if bytes.is_empty() {
                    stream.waiting.pop_front();
                }
                stream.window -= piece.len() as i64;
                self.window -= piece.len() as i64;
                put_data(&mut self.outgoing, stream.id, &piece, false);
            }
            if stream.own == Own::Asked && stream.waiting.is_empty() {
                stream.own = Own::Finished;
                put_data(&mut self.outgoing, stream.id, &[], true);
            }
        }
    }
}

fn grown(id: u32, window: i64, more: i64) -> Result<i64, FrameError> {
    let grown = window.saturating_add(more);
    if grown > LARGEST_WINDOW { Err(FrameError::Window(id)) } else { Ok(grown) }
}

#[cfg(test)]
mod tests;

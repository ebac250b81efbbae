//! Channels of the WebSocket and streams of SPDY, one for each other. No socket, no clock.

use bytes::{BufMut as _, Bytes, BytesMut};
use seams::runtime::Streams;
use serde_json::json;

use crate::spdy::{End, Event, FrameError, Session, StreamId};

/// Channels: the first byte of a message.
const STDIN: usize = 0;
const STDOUT: usize = 1;
const STDERR: usize = 2;
const ERROR: usize = 3;
const RESIZE: usize = 4;
/// The client closes the channel that is named by the one byte behind.
const CLOSE: u8 = 255;

/// Longest status that is handed on, bytes; one of a command has a few hundred.
const LONGEST_STATUS: usize = 64 << 10;
/// Longest size of a terminal, bytes of JSON.
const LONGEST_RESIZE: usize = 1 << 10;

/// A stream of the runtime's.
#[derive(Debug)]
struct Stream {
    channel: usize,
    id: StreamId,
    replied: bool,
    end: Option<End>,
}

/// What is known of one translated stream.
#[derive(Debug)]
pub(super) struct Channels {
    session: Session,
    streams: Vec<Stream>,
    status: BytesMut,
    /// A stream that the runtime did not take.
    refused: bool,
}

impl Channels {
    /// Opens what is wanted, the error stream first: runtimes wait for exactly these.
    pub(super) fn open(wanted: Streams) -> Self {
        let mut session = Session::default();
        let all = [
            (ERROR, "error", true),
            (STDIN, "stdin", wanted.stdin),
            (STDOUT, "stdout", wanted.stdout),
            (STDERR, "stderr", wanted.stderr),
            (RESIZE, "resize", wanted.tty),
        ];
        let wanted = all.into_iter().filter(|(_, _, wanted)| *wanted);
        let opened = wanted.map(|(channel, kind, _)| Stream {
            channel,
            id: session.open(&[("streamtype", kind)]),
            replied: false,
            end: None,
        });
        let streams = opened.collect();
        Self { session, streams, status: BytesMut::new(), refused: false }
    }

    /// An empty message on the first channel that the client reads: clients wait for it.
    pub(super) fn greeting(&self) -> Bytes {
        let first = [STDOUT, STDERR].into_iter().find(|channel| self.on(*channel).is_some());
        message(first.unwrap_or(ERROR), &[])
    }

    /// Takes a message of the client. What is for nobody is dropped, as upstream does.
    pub(super) fn take_message(&mut self, message: Bytes) {
        let Some((channel, rest)) = message.split_first() else { return };
        match (*channel, rest) {
            (CLOSE, &[closed]) => {
                let closed =
                    self.on(closed.into()).filter(|stream| [STDIN, RESIZE].contains(&stream.channel));
                if let Some(id) = closed.map(|stream| stream.id) {
                    self.session.finish(id);
                }
            }
            (CLOSE, _) => {}
            (channel, rest) => {
                let is_wanted = match channel.into() {
                    STDIN => true,
                    RESIZE => rest.len() <= LONGEST_RESIZE,
                    _ => false,
                };
                if let Some(id) = self.on(channel.into()).filter(|_| is_wanted).map(|stream| stream.id) {
                    self.session.write(id, message.slice(1..));
                }
            }
        }
    }

    /// Takes what the runtime sent, and gives messages for the client.
    pub(super) fn take_frames(
        &mut self,
        received: &mut BytesMut,
        mut put: impl FnMut(Bytes),
    ) -> Result<(), FrameError> {
        while let Some(event) = self.session.receive(received)? {
            let (Event::Replied(id) | Event::Data(id, _) | Event::Ended(id, _)) = event;
            let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) else { continue };
            match event {
                Event::Replied(_) => stream.replied = true,
                Event::Data(_, bytes) => match stream.channel {
                    channel @ (STDOUT | STDERR) => put(message(channel, &bytes)),
                    ERROR => {
                        let room = LONGEST_STATUS - self.status.len();
                        self.status.put_slice(&bytes[..bytes.len().min(room)]);
                    }
                    _ => {}
                },
                Event::Ended(_, end) => {
                    stream.end = Some(end);
                    self.refused |= !stream.replied;
                }
            }
        }
        Ok(())
    }

    /// Whether the runtime said all there is to say.
    pub(super) fn is_over(&self) -> bool {
        self.streams
            .iter()
            .filter(|stream| [STDOUT, STDERR, ERROR].contains(&stream.channel))
            .all(|stream| stream.end.is_some())
    }

    /// Whether the runtime's whole status is here. Runtimes write it when all output is written, so that a connection
    /// which breaks behind it has lost nothing.
    pub(super) fn has_status(&self) -> bool {
        serde_json::from_slice::<serde::de::IgnoredAny>(&self.status).is_ok()
    }

    /// The last message.
    pub(super) fn status(&self) -> Bytes {
        let finished = self.on(ERROR).is_some_and(|stream| stream.end == Some(End::Finished));
        match (self.refused, self.status.is_empty()) {
            (false, false) => message(ERROR, &self.status),
            (false, true) if finished => {
                message(ERROR, json!({ "metadata": {}, "status": "Success" }).to_string().as_bytes())
            }
            (true, _) => failure("the container runtime refused a stream"),
            (false, true) => failure("the container runtime ended the stream without a status"),
        }
    }

    /// Tells the runtime that nothing more is wanted.
    pub(super) fn leave(&mut self) {
        self.session.leave();
    }

    /// Whether another message of the client can be taken.
    pub(super) fn has_room(&self) -> bool {
        self.session.has_room()
    }

    /// Whether the runtime took or refused every stream.
    pub(super) fn is_settled(&self) -> bool {
        self.session.is_settled()
    }

    /// Frames for the runtime.
    pub(super) fn outgoing(&mut self) -> &mut BytesMut {
        self.session.outgoing()
    }

    fn on(&self, channel: usize) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.channel == channel)
    }
}

/// A status that says why there is none of the runtime's.
pub(super) fn failure(why: &str) -> Bytes {
    let status = json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {why}"),
        "reason": "InternalError",
        "details": { "causes": [{ "message": why }] },
        "code": 500,
    });
    message(ERROR, status.to_string().as_bytes())
}

fn message(channel: usize, bytes: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(1 + bytes.len());
    message.put_u8(u8::try_from(channel).unwrap_or(CLOSE));
    message.put_slice(bytes);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spdy::peer::{self, Reader, Sent};

    const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };

    fn from_runtime(channels: &mut Channels, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        channels.take_frames(&mut BytesMut::from(bytes), |message| messages.push(message.to_vec())).unwrap();
        messages
    }

    #[test]
    fn streams_are_those_that_the_runtime_waits_for() {
        let opened = |streams| {
            let mut channels = Channels::open(streams);
            let bytes = channels.outgoing().split();
            let sent = Reader::default().read(&bytes);
            let kinds = sent.into_iter().map(|sent| match sent {
                Sent::Open(_, kind) => kind,
                other => panic!("{other:?}"),
            });
            (kinds.collect::<Vec<_>>().join(" "), channels.greeting()[0])
        };
        assert_eq!(opened(ALL), ("error stdin stdout stderr".to_owned(), 1));
        let terminal = Streams { stdin: true, stdout: true, stderr: false, tty: true };
        assert_eq!(opened(terminal), ("error stdin stdout resize".to_owned(), 1));
        assert_eq!(opened(Streams { stderr: true, ..Streams::default() }), ("error stderr".to_owned(), 2));
        assert_eq!(opened(Streams { stdin: true, ..Streams::default() }), ("error stdin".to_owned(), 3));
    }

    #[test]
    fn output_comes_by_channel_and_the_status_last() {
        let mut channels = Channels::open(ALL);
        let replies = [1, 3, 5, 7].map(peer::reply).concat();
        assert!(from_runtime(&mut channels, &replies).is_empty());
        let said = [
            peer::data(5, b"out", false),
            peer::data(1, b"{\"status\":", false),
            peer::data(7, b"err", true),
        ];
        assert_eq!(from_runtime(&mut channels, &said.concat()), [b"\x01out".to_vec(), b"\x02err".to_vec()]);
        assert!(!channels.is_over());
        let end = [peer::data(1, b"\"Failure\"}", false), peer::reset(1, 5), peer::reset(5, 5)];
        assert!(from_runtime(&mut channels, &end.concat()).is_empty());
        assert!(channels.is_over());
        assert_eq!(channels.status(), b"\x03{\"status\":\"Failure\"}".as_slice());
    }

    #[test]
    fn an_end_without_a_status_is_success_only_when_it_was_meant() {
        let status = |error: Vec<u8>| {
            let mut channels = Channels::open(Streams { stdin: true, ..Streams::default() });
            from_runtime(&mut channels, &error);
            assert!(channels.is_over());
            String::from_utf8_lossy(&channels.status()).into_owned()
        };
        assert_eq!(
            status([peer::reply(1), peer::data(1, b"", true)].concat()),
            "\u{3}{\"metadata\":{},\"status\":\"Success\"}"
        );
        assert!(status([peer::reply(1), peer::reset(1, 5)].concat()).contains("without a status"));
        assert!(status(peer::reset(1, 3)).contains("refused"));
    }

    #[test]
    fn the_client_writes_and_closes_what_is_its_own() {
        let mut channels = Channels::open(Streams { stdin: true, stdout: true, stderr: false, tty: true });
        let bytes = channels.outgoing().split();
        let mut reader = Reader::default();
        reader.read(&bytes);
        from_runtime(&mut channels, &[1, 3, 5, 7].map(peer::reply).concat());
        let long = [&[4][..], &[b'x'; LONGEST_RESIZE + 1]].concat();
        for message in [
            &b"\x00one"[..],
            b"\x01not the client's",
            b"\x03nor this",
            b"\x09nobody's",
            b"\x04{\"Width\":80}",
            &long,
            b"",
            b"\x00",
            b"\xff\x01",
            b"\xff",
            b"\xff\x00\x00",
            b"\xff\x00",
            b"\x00behind the end",
        ] {
            channels.take_message(Bytes::copy_from_slice(message));
        }
        let bytes = channels.outgoing().split();
        let expected = [
            Sent::Data(3, b"one".to_vec(), false),
            Sent::Data(3, Vec::new(), true),
            Sent::Data(7, b"{\"Width\":80}".to_vec(), false),
        ];
        assert_eq!(reader.read(&bytes), expected);
    }

    proptest! {
        /// Whatever a client sends, only its input and sizes of its terminal get on, and nothing behind their ends.
        #[test]
        fn no_message_of_a_client_makes_it_panic(
            messages in proptest::collection::vec((prop_oneof![Just(0_u8), Just(4), Just(255), any::<u8>()], proptest::collection::vec(0..6_u8, 0..8)), 0..30)
        ) {
            let mut channels = Channels::open(Streams { stdin: true, stdout: true, stderr: false, tty: true });
            let mut reader = Reader::default();
            reader.read(&channels.outgoing().split());
            from_runtime(&mut channels, &[1, 3, 5, 7].map(peer::reply).concat());
            let (mut expected, mut is_open) = ([Vec::new(), Vec::new()], [true; 2]);
            for (channel, rest) in &messages {
                channels.take_message([&[*channel][..], rest].concat().into());
                match (*channel, rest.as_slice()) {
                    (0, rest) if is_open[0] => expected[0].extend_from_slice(rest),
                    (4, rest) if is_open[1] => expected[1].extend_from_slice(rest),
                    (255, [0]) => is_open[0] = false,
                    (255, [4]) => is_open[1] = false,
                    _ => {}
                }
            }
            let (mut seen, mut ends) = ([Vec::new(), Vec::new()], [true; 2]);
            for sent in reader.read(&channels.outgoing().split()) {
                let Sent::Data(id @ (3 | 7), bytes, fin) = sent else { panic!("{sent:?}") };
                let at = usize::from(id == 7);
                seen[at].extend(bytes);
                ends[at] = !fin;
            }
            prop_assert_eq!((seen, ends), (expected, is_open));
        }

        #[test]
        fn a_long_status_is_cut(pieces in proptest::collection::vec(0..60_000_usize, 0..6)) {
            let mut channels = Channels::open(ALL);
            let said = pieces.iter().map(|length| peer::data(1, &vec![b'x'; *length], false)).collect::<Vec<_>>();
            from_runtime(&mut channels, &said.concat());
            prop_assert!(channels.status.len() <= LONGEST_STATUS);
        }
    }
}

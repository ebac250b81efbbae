//! The other end, for tests: reads what a client sends, headers too, and says what a server says.

use bytes::{Buf as _, BufMut as _, BytesMut};

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A stream with the value of its header `streamtype`.
    Open(u32, String),
    /// Data, and whether it is the last.
    Data(u32, Vec<u8>, bool),
    /// A control frame of another kind, with its payload.
    Other(u16, Vec<u8>),
}

/// Reads whole frames; what is left is the beginning of one.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    input: BytesMut,
    begun: bool,
}

impl Reader {
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Sent> {
        self.input.extend_from_slice(bytes);
        let mut sent = Vec::new();
        while self.input.len() >= 8 {
            let length = u32::from_be_bytes([0, self.input[5], self.input[6], self.input[7]]) as usize;
            if self.input.len() < 8 + length {
                break;
            }
            let (word, flags) = (self.input.get_u32(), self.input.get_u32() >> 24);
            let payload = self.input.split_to(length).to_vec();
            sent.push(if word >> 31 == 0 {
                Sent::Data(word, payload, flags & 1 == 1)
            } else if word & 0xffff == 1 {
                let id = u32::from_be_bytes(payload[..4].try_into().unwrap());
                Sent::Open(id, self.stream_type(&payload[10..]))
            } else {
                Sent::Other((word & 0xffff) as u16, payload)
            });
        }
        sent
    }

    /// Stored blocks are read as they are written.
    fn stream_type(&mut self, block: &[u8]) -> String {
        let mut block = block;
        if !std::mem::replace(&mut self.begun, true) {
            block = &block[6..];
        }
        let mut plain = Vec::new();
        while !block.is_empty() {
            assert_eq!(block.get_u8(), 0, "a stored block");
            let length = block.get_u16_le();
            assert_eq!(block.get_u16_le(), !length);
            plain.extend_from_slice(&block[..length.into()]);
            block.advance(length.into());
        }
        let mut plain = plain.as_slice();
        assert_eq!(plain.get_u32(), 1, "one header");
        let mut text = || {
            let length = plain.get_u32() as usize;
            let text = String::from_utf8(plain[..length].to_vec()).unwrap();
            plain.advance(length);
            text
        };
        assert_eq!(text(), "streamtype");
        text()
    }
}

/// `SYN_REPLY` without headers that anyone reads.
pub(crate) fn reply(id: u32) -> Vec<u8> {
    control(2, &id.to_be_bytes())
}

/// `RST_STREAM`.
pub(crate) fn reset(id: u32, status: u32) -> Vec<u8> {
    control(3, &[id.to_be_bytes(), status.to_be_bytes()].concat())
}

/// `WINDOW_UPDATE`.
pub(crate) fn window(id: u32, more: u32) -> Vec<u8> {
    control(9, &[id.to_be_bytes(), more.to_be_bytes()].concat())
}

/// A data frame.
pub(crate) fn data(id: u32, bytes: &[u8], fin: bool) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u32(id);
    out.put_u32(u32::from(fin) << 24 | bytes.len() as u32);
    out.put_slice(bytes);
    out.to_vec()
}

/// Any control frame.
pub(crate) fn control(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u16(0x8003);
    out.put_u16(kind);
    out.put_u32(payload.len() as u32);
    out.put_slice(payload);
    out.to_vec()
}

/// A server on a stream.
#[derive(Debug)]
pub(crate) struct Server<S> {
    stream: S,
    reader: Reader,
    read: std::collections::VecDeque<Sent>,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Server<S> {
    pub(crate) fn on(stream: S) -> Self {
        Self { stream, reader: Reader::default(), read: std::collections::VecDeque::new() }
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        use tokio::io::AsyncReadExt as _;
        while self.read.is_empty() {
            let mut piece = vec![0; 64 << 10];
            let length = self.stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
            self.read.extend(self.reader.read(&piece[..length]));
        }
        self.read.pop_front()
    }

    /// Takes this many streams: their kinds, in order of their numbers 1, 3, 5, …
    pub(crate) async fn accept(&mut self, count: usize) -> Vec<String> {
        let mut kinds = Vec::new();
        while kinds.len() < count {
            match self.next().await {
                Some(Sent::Open(id, kind)) => {
                    self.say(&reply(id)).await;
                    kinds.push(kind);
                }
                other => panic!("not a new stream: {other:?}"),
            }
        }
        kinds
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt as _;
        self.stream.write_all(bytes).await.unwrap();
    }
}

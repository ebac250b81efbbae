//! Header blocks of the client's own streams, in the zlib stream that SPDY wants them in.
//!
//! The stream names SPDY's dictionary, as receivers expect, and then refers to nothing in it: each block is one stored
//! block of deflate, with the empty one behind it that a flush leaves. A header block here has thirty bytes, once for
//! each of at most five streams, so that compressing would save nothing and cost a compressor with its window.

use bytes::{BufMut as _, BytesMut};

/// Method deflate with a window of 32 KiB, a preset dictionary, fastest level; divisible by 31 as RFC 1950 asks.
const ZLIB: u16 = 0x7820;
/// Adler-32 of the dictionary of SPDY/3 (draft-mbelshe-httpbis-spdy-00, section 2.6.10.1).
const DICTIONARY: u32 = 0xe3c6_a7c2;
/// Largest stored block of deflate.
const MOST: usize = u16::MAX as usize;

/// Writes header blocks; their order on the wire is that of the calls.
#[derive(Debug, Default)]
pub(super) struct HeaderWriter {
    begun: bool,
}

impl HeaderWriter {
    /// A block of names and values. Names are lower case, and all of it is shorter than a stored block.
    pub(super) fn block(&mut self, headers: &[(&str, &str)]) -> BytesMut {
        let mut plain = BytesMut::new();
        put_length(&mut plain, headers.len());
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            put_length(&mut plain, text.len());
            plain.put_slice(text.as_bytes());
        }
        let mut block = BytesMut::new();
        if !self.begun {
            self.begun = true;
            block.put_u16(ZLIB);
            block.put_u32(DICTIONARY);
        }
        for stored in plain.chunks(MOST) {
            put_stored(&mut block, stored);
        }
        put_stored(&mut block, &[]);
        block
    }
}

/// Lengths of headers that are written here are far below the limit.
fn put_length(block: &mut BytesMut, length: usize) {
    block.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// A stored block that is not the last one.
fn put_stored(block: &mut BytesMut, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    block.put_u8(0);
    block.put_u16_le(length);
    block.put_u16_le(!length);
    block.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_names_the_dictionary_and_each_ends_with_a_flush() {
        let mut writer = HeaderWriter::default();
        let first = writer.block(&[("streamtype", "error")]);
        let plain = b"\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05error";
        let mut expected = vec![0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2, 0, 27, 0, 0xe4, 0xff];
        expected.extend_from_slice(plain);
        expected.extend_from_slice(&[0, 0, 0, 0xff, 0xff]);
        assert_eq!(first, expected);
        assert_eq!(u16::from_be_bytes([first[0], first[1]]) % 31, 0);
        let second = writer.block(&[]);
        assert_eq!(second, [0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff].as_slice());
    }

    /// Any inflater without the dictionary reads the deflate stream behind the head of six bytes.
    #[test]
    fn an_inflater_reads_it() {
        use std::io::Read as _;
        let mut writer = HeaderWriter::default();
        let mut stream = Vec::new();
        for kind in ["error", "stdin", "stdout"] {
            stream.extend_from_slice(&writer.block(&[("streamtype", kind)]));
        }
        let mut plain = Vec::new();
        // The stream has no end, which the reader says after it gave all.
        let _ = flate2::read::DeflateDecoder::new(&stream[6..]).read_to_end(&mut plain);
        let text = String::from_utf8_lossy(&plain);
        assert!(text.contains("error") && text.contains("stdin") && text.ends_with("stdout"), "{text:?}");
    }
}

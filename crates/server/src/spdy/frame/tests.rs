use proptest::prelude::*;

use super::*;

fn all(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut input = BytesMut::from(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next(&mut input)? {
        frames.push(frame);
    }
    Ok(frames)
}

fn control_frame(kind: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_control(&mut out, kind, flags, payload.len());
    out.put_slice(payload);
    out.to_vec()
}

#[test]
fn frames_of_every_kind_are_read() {
    for (bytes, frame) in [
        (control_frame(1, 0, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0]), Frame::Opened { id: 2 }),
        (control_frame(2, 0, &[0, 0, 0, 1, 0x78, 0xf9]), Frame::Reply { id: 1, fin: false }),
        (control_frame(2, 1, &[0, 0, 0, 1]), Frame::Reply { id: 1, fin: true }),
        (control_frame(3, 0, &[0, 0, 0, 5, 0, 0, 0, 3]), Frame::Reset { id: 5, status: 3 }),
        (
            control_frame(4, 0, &[0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 9, 1, 0, 0, 7, 0, 1, 0, 0]),
            Frame::Settings { initial_window: Some(65536) },
        ),
        (control_frame(4, 0, &[0xff; 4]), Frame::Settings { initial_window: None }),
        (control_frame(6, 0, &[0, 0, 0, 8]), Frame::Ping { id: 8 }),
        (control_frame(7, 0, &[0, 0, 0, 5, 0, 0, 0, 0]), Frame::GoAway { last: 5 }),
        (control_frame(8, 1, &[0, 0, 0, 3, 1, 2, 3]), Frame::Headers { id: 3, fin: true }),
        (control_frame(9, 0, &[0, 0, 0, 0, 0x80, 0, 0, 7]), Frame::Window { id: 0, more: 7 }),
    ] {
        // Behind a kind that nobody knows, and one byte at a time.
        let bytes = [control_frame(77, 9, &[1; 300]), bytes].concat();
        assert_eq!(all(&mut Decoder::default(), &bytes).unwrap(), std::slice::from_ref(&frame));
        let (mut decoder, mut input, mut frames) = (Decoder::default(), BytesMut::new(), Vec::new());
        for byte in bytes {
            input.put_u8(byte);
            frames.extend(decoder.next(&mut input).unwrap());
        }
        assert_eq!(frames, [frame]);
    }
}

#[test]
fn data_comes_in_pieces_as_it_arrives() {
    let mut out = BytesMut::new();
    put_data(&mut out, 3, b"hello", true);
    put_data(&mut out, 5, b"", true);
    let mut decoder = Decoder::default();
    let data = |id, bytes: &'static [u8], fin| Frame::Data { id, bytes: Bytes::from_static(bytes), fin };
    let whole = all(&mut decoder, &out).unwrap();
    assert_eq!(whole, [data(3, b"hello", true), data(5, b"", true)]);
    let mut input = BytesMut::from(&out[..10]);
    assert_eq!(decoder.next(&mut input).unwrap(), Some(data(3, b"he", false)));
    assert_eq!(decoder.next(&mut input).unwrap(), None);
    input.extend_from_slice(&out[10..]);
    assert_eq!(decoder.next(&mut input).unwrap(), Some(data(3, b"llo", true)));
    assert_eq!(decoder.next(&mut input).unwrap(), Some(data(5, b"", true)));
}

#[test]
fn what_is_no_spdy_is_refused() {
    let read = |bytes: &[u8]| all(&mut Decoder::default(), bytes).unwrap_err();
    let mut other = control_frame(6, 0, &[0; 4]);
    other[1] = 2;
    assert_eq!(read(&other), FrameError::Version(2));
    assert_eq!(read(&[0; 8]), FrameError::NoStream(0));
    assert_eq!(read(&[0x80, 3, 0, 2, 0, 0xff, 0xff, 0xff]), FrameError::TooLong(0xff_ffff));
    assert_eq!(read(&control_frame(3, 0, &[0, 0, 0, 1])), FrameError::TooShort { kind: 3, length: 4 });
    assert_eq!(read(&control_frame(2, 0, &[0; 4])), FrameError::NoStream(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_it_panic_or_hold_much(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 1..60_usize) {
        let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
        'bytes: for piece in bytes.chunks(cut) {
            input.extend_from_slice(piece);
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'bytes,
                }
            }
            prop_assert!(input.len() <= HEAD + LONGEST_CONTROL);
        }
    }

    /// Frames that look like frames: the same, but deep into each kind.
    #[test]
    fn no_frames_make_it_panic(
        frames in proptest::collection::vec((any::<bool>(), 0..12_u32, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
        cut in 1..60_usize,
    ) {
        let mut bytes = Vec::new();
        for (is_control, kind, flags, payload) in frames {
            if is_control {
                bytes.extend(control_frame(kind, flags, &payload));
            } else {
                let mut out = BytesMut::new();
                put_data(&mut out, kind + 1, &payload, flags & 1 == 1);
                bytes.extend_from_slice(&out);
            }
        }
        let read = |cut: usize| {
            let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
            let mut frames = Vec::new();
            for piece in bytes.chunks(cut) {
                input.extend_from_slice(piece);
                loop {
                    match decoder.next(&mut input) {
                        Ok(Some(Frame::Data { bytes, fin: false, .. })) if bytes.is_empty() => {}
                        Ok(Some(frame)) => frames.push(frame),
                        Ok(None) => break,
                        Err(error) => return (joined(frames), Some(error)),
                    }
                }
            }
            (joined(frames), None)
        };
        // How the bytes are cut changes nothing.
        prop_assert_eq!(read(cut), read(1 << 20));
    }
}

/// Pieces of one data frame, put together.
fn joined(frames: Vec<Frame>) -> Vec<Frame> {
    let mut whole: Vec<Frame> = Vec::new();
    for frame in frames {
        match (whole.last_mut(), frame) {
            (
                Some(Frame::Data { id, bytes, fin: fin @ false }),
                Frame::Data { id: same, bytes: more, fin: end },
            ) if *id == same => {
                *bytes = [bytes.as_ref(), more.as_ref()].concat().into();
                *fin = end;
            }
            (_, frame) => whole.push(frame),
        }
    }
    whole
}

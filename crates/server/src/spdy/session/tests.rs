use proptest::prelude::*;

use super::{
    super::peer::{self, Reader, Sent},
    *,
};

fn events(session: &mut Session, bytes: &[u8]) -> Vec<Event> {
    let mut input = BytesMut::from(bytes);
    let mut events = Vec::new();
    while let Some(event) = session.receive(&mut input).unwrap() {
        events.push(event);
    }
    events
}

fn sent(session: &mut Session, reader: &mut Reader) -> Vec<Sent> {
    let mut all = Vec::new();
    // The socket takes everything at once.
    while !session.outgoing().is_empty() {
        let bytes = session.outgoing().split();
        all.extend(reader.read(&bytes));
    }
    all
}

#[test]
fn nothing_is_sent_on_a_stream_before_its_reply() {
    let (mut session, mut reader) = (Session::default(), Reader::default());
    let error = session.open(&[("streamtype", "error")]);
    let stdin = session.open(&[("streamtype", "stdin")]);
    session.write(stdin, Bytes::from_static(b"early"));
    session.finish(stdin);
    session.write(stdin, Bytes::from_static(b"too late"));
    let opened = [Sent::Open(1, "error".to_owned()), Sent::Open(3, "stdin".to_owned())];
    assert_eq!(sent(&mut session, &mut reader), opened);
    assert!(!session.is_settled() && !session.has_room());
    assert_eq!(events(&mut session, &peer::reply(1)), [Event::Replied(error)]);
    assert_eq!(sent(&mut session, &mut reader), []);
    assert_eq!(events(&mut session, &peer::reply(3)), [Event::Replied(stdin)]);
    let all = [Sent::Data(3, b"early".to_vec(), false), Sent::Data(3, Vec::new(), true)];
    assert_eq!(sent(&mut session, &mut reader), all);
    assert!(session.is_settled() && session.has_room());
}

#[test]
fn what_the_server_says_arrives_in_order_and_ends_once() {
    let mut session = Session::default();
    let (a, b) = (session.open(&[("streamtype", "stdout")]), session.open(&[("streamtype", "error")]));
    let bytes = [
        peer::reply(1),
        peer::reply(1),
        peer::reply(3),
        peer::data(1, b"one", false),
        peer::data(1, b"two", true),
        peer::data(1, b"behind the end", false),
        peer::reset(1, 5),
        peer::data(9, b"nobody's", true),
        peer::reset(3, 5),
    ]
    .concat();
    let expected = [
        Event::Replied(a),
        Event::Replied(b),
        Event::Data(a, Bytes::from_static(b"one")),
        Event::Data(a, Bytes::from_static(b"two")),
        Event::Ended(a, End::Finished),
        Event::Ended(b, End::Reset(5)),
    ];
    assert_eq!(events(&mut session, &bytes), expected);
}

#[test]
fn a_server_without_windows_is_sent_all() {
    let (mut session, mut reader) = (Session::default(), Reader::default());
    let stdin = session.open(&[("streamtype", "stdin")]);
    events(&mut session, &peer::reply(1));
    session.write(stdin, Bytes::from(vec![7; 1 << 20]));
    let length: usize = data(&sent(&mut session, &mut reader)).len();
    assert_eq!(length, 1 << 20);
}

#[test]
fn a_server_with_windows_is_sent_what_they_allow() {
    let (mut session, mut reader) = (Session::default(), Reader::default());
    let stdin = session.open(&[("streamtype", "stdin")]);
    events(&mut session, &[peer::reply(1), peer::window(1, 10), peer::window(0, 10)].concat());
    session.write(stdin, Bytes::from(vec![7; 100_000]));
    assert_eq!(data(&sent(&mut session, &mut reader)).len(), 65_546);
    assert!(!session.has_room());
    events(&mut session, &peer::window(1, 1_000));
    assert_eq!(data(&sent(&mut session, &mut reader)).len(), 0, "the connection's window is used up");
    events(&mut session, &peer::window(0, 100));
    assert_eq!(data(&sent(&mut session, &mut reader)).len(), 100);
    // A smaller window than what was sent: it has to grow above zero again.
    let settings = [&[0, 0, 0, 1, 0, 0, 0, 7][..], &10_u32.to_be_bytes()[..]].concat();
    events(&mut session, &[peer::control(4, &settings), peer::window(0, 1 << 20)].concat());
    assert_eq!(data(&sent(&mut session, &mut reader)).len(), 0);
    events(&mut session, &peer::window(1, 1 << 20));
    assert_eq!(data(&sent(&mut session, &mut reader)).len(), 100_000 - 65_646);
    assert!(session.has_room());
    let mut input = BytesMut::from(peer::window(1, 0x7fff_ffff).as_slice());
    assert_eq!(session.receive(&mut input), Err(FrameError::Window(1)));
}

#[test]
fn what_is_received_is_acknowledged_by_halves_of_a_window() {
    let (mut session, mut reader) = (Session::default(), Reader::default());
    session.open(&[("streamtype", "stdout")]);
    sent(&mut session, &mut reader);
    // Not where nobody counts: what a server has not read when it closes costs what it said last.
    events(&mut session, &[peer::reply(1), peer::data(1, &[0; 300_000], false)].concat());
    assert_eq!(sent(&mut session, &mut reader), []);
    let (mut session, mut reader) = (Session::default(), Reader::default());
    session.open(&[("streamtype", "stdout")]);
    sent(&mut session, &mut reader);
    events(&mut session, &[peer::reply(1), peer::window(1, 1), peer::window(0, 1)].concat());
    events(&mut session, &peer::data(1, &[0; 30_000], false));
    assert_eq!(sent(&mut session, &mut reader), []);
    events(&mut session, &peer::data(1, &[0; 3_000], false));
    let update = |id: u32| Sent::Other(9, [id.to_be_bytes(), 33_000_u32.to_be_bytes()].concat());
    assert_eq!(sent(&mut session, &mut reader), [update(1), update(0)]);
}

#[test]
fn pings_are_answered_and_streams_of_the_server_refused() {
    let (mut session, mut reader) = (Session::default(), Reader::default());
    events(&mut session, &peer::control(6, &[0, 0, 0, 4]));
    events(&mut session, &peer::control(6, &[0, 0, 0, 5]));
    events(&mut session, &peer::control(1, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0]));
    let refused = Sent::Other(3, vec![0, 0, 0, 2, 0, 0, 0, 3]);
    assert_eq!(sent(&mut session, &mut reader), [Sent::Other(6, vec![0, 0, 0, 4]), refused]);
    // A server that asks without reading is not answered for ever.
    for _ in 0..100_000 {
        events(&mut session, &peer::control(6, &[0, 0, 0, 4]));
    }
    assert!(session.outgoing().len() < 2 * WAITING_ANSWERS);
}

#[test]
fn a_server_that_goes_away_ends_what_it_did_not_take() {
    let mut session = Session::default();
    let (a, b) = (session.open(&[("streamtype", "error")]), session.open(&[("streamtype", "stdin")]));
    let bytes = [peer::reply(1), peer::control(7, &[0, 0, 0, 1, 0, 0, 0, 0])].concat();
    assert_eq!(events(&mut session, &bytes), [Event::Replied(a), Event::Ended(b, End::Reset(3))]);
    assert!(session.is_settled());
}

fn data(all: &[Sent]) -> Vec<u8> {
    let bytes = all.iter().filter_map(|sent| match sent {
        Sent::Data(_, bytes, _) => Some(bytes.as_slice()),
        _ => None,
    });
    bytes.collect::<Vec<_>>().concat()
}

/// What a server or a caller may do, in any order.
#[derive(Clone, Debug)]
enum Step {
    Says(Vec<u8>),
    Write(usize, usize),
    Finish(usize),
    Send(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..7_u32;
    prop_oneof![
        id.clone().prop_map(|id| Step::Says(peer::reply(id | 1))),
        (id.clone(), 0..50_000_usize, any::<bool>()).prop_map(|(id, length, fin)| Step::Says(peer::data(
            id | 1,
            &vec![1; length],
            fin
        ))),
        id.clone().prop_map(|id| Step::Says(peer::reset(id | 1, 5))),
        (id, 0..100_000_u32).prop_map(|(id, more)| Step::Says(peer::window(id, more))),
        (0..10_u16, proptest::collection::vec(any::<u8>(), 0..24))
            .prop_map(|(kind, payload)| Step::Says(peer::control(kind, &payload))),
        (0..3_usize, 0..90_000_usize).prop_map(|(stream, length)| Step::Write(stream, length)),
        (0..3_usize).prop_map(Step::Finish),
        (0..100_000_usize).prop_map(Step::Send),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nothing_makes_it_panic_and_what_it_holds_is_bounded(steps in proptest::collection::vec(step(), 0..60)) {
        let mut session = Session::default();
        let streams = ["error", "stdin", "stdout"].map(|kind| session.open(&[("streamtype", kind)]));
        let (mut input, mut reader, mut finished) = (BytesMut::new(), Reader::default(), [false; 3]);
        'steps: for step in steps {
            match step {
                Step::Says(bytes) => {
                    input.extend_from_slice(&bytes);
                    loop {
                        match session.receive(&mut input) {
                            Ok(Some(_)) => {}
                            Ok(None) => break,
                            Err(_) => break 'steps,
                        }
                    }
                }
                // As callers do: only when there is room.
                Step::Write(stream, length) if session.has_room() => {
                    session.write(streams[stream], vec![2; length].into());
                }
                Step::Write(..) => {}
                Step::Finish(stream) => session.finish(streams[stream]),
                Step::Send(most) => {
                    let outgoing = session.outgoing();
                    let most = most.min(outgoing.len());
                    let bytes = outgoing.split_to(most);
                    for sent in reader.read(&bytes) {
                        if let Sent::Data(id, bytes, fin) = sent {
                            let at = (id / 2) as usize;
                            prop_assert!(!finished[at], "{} bytes behind the end of {id}", bytes.len());
                            finished[at] = fin;
                        }
                    }
                }
            }
            prop_assert!(session.outgoing().len() <= WAITING_ANSWERS + 2 * PIECE);
        }
    }
}

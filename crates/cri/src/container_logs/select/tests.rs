use proptest::prelude::*;

use super::*;

fn line(second: u8, stream: &str, tag: &str, text: &str) -> String {
    format!("2026-01-02T03:04:{second:02}.5Z {stream} {tag} {text}\n")
}

fn since(second: u8) -> Option<Timestamp> {
    Some(format!("2026-01-02T03:04:{second:02}.5Z").parse().unwrap())
}

/// What comes of a file that is read in blocks of that size.
fn selected(file: &[u8], options: &LogOptions, block: usize) -> Vec<u8> {
    let mut selector = Selector::new(options);
    let mut out = Vec::new();
    for block in file.chunks(block.max(1)) {
        if selector.take(block, &mut out) == Wanted::NoMore {
            return out;
        }
        assert!(selector.begun.len() <= LONGEST + block.len());
    }
    selector.end(&mut out);
    out
}

/// The rules on a whole file, one line after the other, as upstream's reader has them.
fn model(file: &[u8], options: &LogOptions) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = options.limit_bytes.unwrap_or(u64::MAX);
    let mut lines = options.tail_lines.filter(|_| !options.follow).unwrap_or(u64::MAX);
    let mut is_new = true;
    for line in file.split_inclusive(|b| *b == b'\n') {
        if lines == 0 || bytes == 0 {
            break;
        }
        let Ok(header) = Header::read(line) else { continue };
        let mut text = &line[header.text_at..];
        if header.partial && text.ends_with(b"\n") {
            text = &text[..text.len() - 1];
        }
        let stream = options.stream == LogStream::All || options.stream == header.stream;
        if stream && options.since.is_none_or(|since| header.time >= since) {
            let mut sent = Vec::new();
            if options.timestamps && is_new {
                header.show_stamp(&mut sent);
            }
            sent.extend_from_slice(text);
            sent.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
            bytes -= sent.len() as u64;
            out.extend(sent);
        }
        lines -= 1;
        is_new = text.is_empty() || text.ends_with(b"\n");
    }
    out
}

#[test]
fn options() {
    let file = [
        line(1, "stdout", "F", "one"),
        line(2, "stderr", "P", "tw"),
        "rubbish\n".to_owned(),
        line(3, "stderr", "F", "o"),
        line(4, "stdout", "F", ""),
        line(5, "stdout", "P", "end"),
    ]
    .concat();
    let default = LogOptions::default;
    let at = |second: u8| format!("2026-01-02T03:04:{second:02}.500000000Z");
    let cases = [
        (default(), "one\ntwo\n\nend".to_owned()),
        (
            LogOptions { timestamps: true, ..default() },
            format!("{} one\n{} two\n{} \n{} end", at(1), at(2), at(4), at(5)),
        ),
        (LogOptions { stream: LogStream::Stdout, ..default() }, "one\n\nend".to_owned()),
        (LogOptions { stream: LogStream::Stderr, ..default() }, "two\n".to_owned()),
        (LogOptions { since: since(3), ..default() }, "o\n\nend".to_owned()),
        // In the middle of a line whose beginning is too old there is no timestamp.
        (
            LogOptions { since: since(3), timestamps: true, ..default() },
            format!("o\n{} \n{} end", at(4), at(5)),
        ),
        (LogOptions { limit_bytes: Some(5), ..default() }, "one\nt".to_owned()),
        (LogOptions { limit_bytes: Some(3), timestamps: true, ..default() }, "202".to_owned()),
        (LogOptions { limit_bytes: Some(5), stream: LogStream::Stderr, ..default() }, "two\n".to_owned()),
        (LogOptions { limit_bytes: Some(0), ..default() }, String::new()),
        (LogOptions { tail_lines: Some(2), ..default() }, "one\ntw".to_owned()),
        (LogOptions { tail_lines: Some(0), ..default() }, String::new()),
        (LogOptions { tail_lines: Some(0), follow: true, ..default() }, "one\ntwo\n\nend".to_owned()),
    ];
    for (options, expected) in cases {
        let shown = String::from_utf8(selected(file.as_bytes(), &options, 7)).unwrap();
        assert_eq!(shown, expected, "{options:?}");
        assert_eq!(model(file.as_bytes(), &options), expected.as_bytes(), "{options:?}");
    }
}

#[test]
fn an_incomplete_last_line_is_sent_as_it_is() {
    let file = line(1, "stdout", "F", "one") + "2026-01-02T03:04:02Z stdout F tw";
    assert_eq!(selected(file.as_bytes(), &LogOptions::default(), 1000), b"one\ntw");
    // It is one too many for the number of lines.
    let options = LogOptions { tail_lines: Some(1), ..LogOptions::default() };
    assert_eq!(selected(file.as_bytes(), &options, 1000), b"one\n");
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        4 => "[a-z ]{0,12}",
        1 => Just("l".repeat(LONGEST * 2 + 77)),
        1 => Just("m".repeat(LONGEST - 40)),
    ];
    let tag = prop_oneof![Just("F"), Just("P"), Just("P:X"), Just("")];
    let good = (0_u8..60, any::<bool>(), tag, text).prop_map(|(second, out, tag, text)| {
        line(second, if out { "stdout" } else { "stderr" }, tag, &text).into_bytes()
    });
    let bad = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(b"\n".to_vec()),
        Just("n".repeat(LONGEST + 9).into_bytes()),
        Just("2026-01-02T03:04:05Z stdout Fxyz\n".into()),
    ];
    let line = prop_oneof![6 => good, 1 => bad];
    (prop::collection::vec(line, 0..12), any::<bool>()).prop_map(|(lines, cut)| {
        let mut file = lines.concat();
        if cut {
            file.truncate(file.len().saturating_sub(3));
        }
        file
    })
}

prop_compose! {
    fn any_options()(
        follow: bool,
        timestamps: bool,
        from in prop::option::of(0_u8..60),
        tail_lines in prop::option::of(0_u64..12),
        limit_bytes in prop::option::of(0_u64..400),
        stream in prop_oneof![Just(LogStream::All), Just(LogStream::Stdout), Just(LogStream::Stderr)],
    ) -> LogOptions {
        LogOptions { follow, since: from.and_then(since), timestamps, tail_lines, limit_bytes, stream }
    }
}

proptest! {
    #[test]
    fn as_a_whole_file_would_be_read(file in lines(), options in any_options(), block in 1_usize..3000) {
        let (selected, model) = (selected(&file, &options, block), model(&file, &options));
        prop_assert!(selected == model, "{:?}\nis not\n{:?}",
            String::from_utf8_lossy(&selected), String::from_utf8_lossy(&model));
    }

    #[test]
    fn any_bytes_do_no_harm(file: Vec<u8>, options in any_options(), block in 1_usize..50) {
        prop_assert_eq!(selected(&file, &options, block), model(&file, &options));
    }
}

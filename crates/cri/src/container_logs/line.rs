//! One line as runtimes write it: `<RFC3339Nano> <stdout|stderr> <P|F>[:<more tags>] <text>` (contract §17).
//!
//! `P` says that the text goes on in the next line of the same stream. Whatever other tags there are is left to the
//! future, as upstream does.

use jiff::{Timestamp, civil::DateTime, tz::Offset};
use seams::logs::LogStream;

/// What stands before the text of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'l> {
    /// When the line was written.
    pub(super) time: Timestamp,
    /// The same as it is shown.
    stamp: Stamp<'l>,
    /// Where to: never [`LogStream::All`].
    pub(super) stream: LogStream,
    /// Whether its newline is not one of the container's.
    pub(super) partial: bool,
    /// Where in the line the text begins.
    pub(super) text_at: usize,
}

/// The parts of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp<'l> {
    /// Date and time, to the second.
    seconds: &'l [u8],
    /// Digits of the fraction.
    fraction: &'l [u8],
    /// `Z`, or the distance from it.
    zone: &'l [u8],
}

/// What makes a line none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("there is no timestamp")]
    NoTimestamp,
    #[error("the timestamp is none of RFC 3339")]
    Timestamp,
    #[error("there is no stream")]
    NoStream,
    #[error("the stream is neither stdout nor stderr")]
    Stream,
    #[error("there are no tags")]
    NoTags,
}

impl<'l> Header<'l> {
    /// Reads it from a line, or from the beginning of one.
    pub(super) fn read(line: &'l [u8]) -> Result<Self, Malformed> {
        let (stamp, rest) = word(line).ok_or(Malformed::NoTimestamp)?;
        let (time, stamp) = timestamp(stamp).ok_or(Malformed::Timestamp)?;
        let (stream, rest) = word(rest).ok_or(Malformed::NoStream)?;
        let stream = match stream {
            b"stdout" => LogStream::Stdout,
            b"stderr" => LogStream::Stderr,
            _ => return Err(Malformed::Stream),
        };
        let (tags, text) = word(rest).ok_or(Malformed::NoTags)?;
        let partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
        Ok(Self { time, stamp, stream, partial, text_at: line.len() - text.len() })
    }

    /// The timestamp as upstream shows it, always with nine digits of a second, and a blank.
    pub(super) fn show_stamp(&self, out: &mut Vec<u8>) {
        let Stamp { seconds, fraction, zone } = self.stamp;
        let digits = &fraction[..fraction.len().min(DIGITS)];
        out.extend_from_slice(seconds);
        out.push(b'.');
        out.extend_from_slice(digits);
        out.resize(out.len() + DIGITS - digits.len(), b'0');
        out.extend_from_slice(if is_utc(zone) { b"Z" } else { zone });
        out.push(b' ');
    }
}

/// Digits of a second that count.
const DIGITS: usize = 9;

fn is_utc(zone: &[u8]) -> bool {
    matches!(zone, b"Z" | b"+00:00" | b"-00:00")
}

/// The word before the first blank, and what is behind that.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = text.iter().position(|byte| *byte == b' ')?;
    Some((&text[..blank], &text[blank + 1..]))
}

/// `2026-01-02T03:04:05.678Z`, `…+01:00`: the instant, and its parts as they are shown.
fn timestamp(text: &[u8]) -> Option<(Timestamp, Stamp<'_>)> {
    const SECONDS: usize = "2026-01-02T03:04:05".len();
    let (seconds, rest) = text.split_at_checked(SECONDS)?;
    let number = |from: usize, to: usize| number(&seconds[from..to]);
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| seconds[*at] != *mark) {
        return None;
    }
    let (fraction, zone) = match rest.split_first()? {
        (b'.' | b',', rest) => {
            let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
            rest.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())?
        }
        _ => (&rest[..0], rest),
    };
    let nanos = (0..DIGITS).fold(0, |sum, at| {
        let digit = fraction.get(at).map_or(0, |digit| digit - b'0');
        sum * 10 + i32::from(digit)
    });
    let time = DateTime::new(
        i16::try_from(number(0, 4)?).ok()?,
        i8::try_from(number(5, 7)?).ok()?,
        i8::try_from(number(8, 10)?).ok()?,
        i8::try_from(number(11, 13)?).ok()?,
        i8::try_from(number(14, 16)?).ok()?,
        i8::try_from(number(17, 19)?).ok()?,
        nanos,
    );
    let instant = offset(zone)?.to_timestamp(time.ok()?).ok()?;
    Some((instant, Stamp { seconds, fraction, zone }))
}

/// `Z`, `+01:00`, `-11:30`.
fn offset(zone: &[u8]) -> Option<Offset> {
    if zone == b"Z" {
        return Some(Offset::UTC);
    }
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = zone else { return None };
    let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    if hours > 24 || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from((hours * 60 + minutes) * 60).ok()?;
    Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok()
}

/// A number of digits and nothing else.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp_of(line: &str) -> Option<(String, String)> {
        let header = Header::read(line.as_bytes()).ok()?;
        let mut shown = Vec::new();
        header.show_stamp(&mut shown);
        Some((header.time.to_string(), String::from_utf8(shown).unwrap()))
    }

    #[test]
    fn timestamps() {
        for (stamp, time, shown) in [
            (
                "2016-10-06T00:17:09.669794202Z",
                "2016-10-06T00:17:09.669794202Z",
                "2016-10-06T00:17:09.669794202Z ",
            ),
            ("2016-10-06T00:17:09.5Z", "2016-10-06T00:17:09.5Z", "2016-10-06T00:17:09.500000000Z "),
            ("2016-10-06T00:17:09Z", "2016-10-06T00:17:09Z", "2016-10-06T00:17:09.000000000Z "),
            ("2016-10-06T01:17:09.1+01:30", "2016-10-05T23:47:09.1Z", "2016-10-06T01:17:09.100000000+01:30 "),
            ("2016-10-06T01:17:09-01:00", "2016-10-06T02:17:09Z", "2016-10-06T01:17:09.000000000-01:00 "),
            ("2016-10-06T01:17:09+00:00", "2016-10-06T01:17:09Z", "2016-10-06T01:17:09.000000000Z "),
            (
                "2016-10-06T01:17:09.1234567899Z",
                "2016-10-06T01:17:09.123456789Z",
                "2016-10-06T01:17:09.123456789Z ",
            ),
        ] {
            let read = stamp_of(&format!("{stamp} stdout F x\n"));
            assert_eq!(read, Some((time.to_owned(), shown.to_owned())), "{stamp}");
        }
        for bad in [
            "",
            "2016",
            "2016-10-06",
            "2016-10-06 00:17:09Z",
            "2016-10-06T00:17:09",
            "2016-13-06T00:17:09Z",
            "2016-10-06T24:17:09Z",
            "2016-10-06T00:17:09.Z",
            "2016-10-06T00:17:09.1",
            "2016-10-06T00:17:09+1:00",
            "2016-10-06T00:17:09+01:60",
            "2016-02-30T00:17:09Z",
            "+016-10-06T00:17:09Z",
            "2016-10-06T00:17:09ZZ",
        ] {
            let line = format!("{bad} stdout F x\n");
            assert_eq!(Header::read(line.as_bytes()), Err(Malformed::Timestamp), "{bad}");
        }
    }

    #[test]
    fn words() {
        const AT: &str = "2016-10-06T00:17:09Z";
        for (line, read) in [
            ("stdout F text\n", Ok((LogStream::Stdout, false, "text\n"))),
            ("stderr P text\n", Ok((LogStream::Stderr, true, "text\n"))),
            ("stderr P:T1:T2 a b\n", Ok((LogStream::Stderr, true, "a b\n"))),
            ("stdout F:P \n", Ok((LogStream::Stdout, false, "\n"))),
            // Tags of the future.
            ("stdout X  two\n", Ok((LogStream::Stdout, false, " two\n"))),
            ("stdout  \n", Ok((LogStream::Stdout, false, "\n"))),
            ("stdout F\n", Err(Malformed::NoTags)),
            ("stdin F text\n", Err(Malformed::Stream)),
            ("stdout\n", Err(Malformed::NoStream)),
            ("STDOUT F text\n", Err(Malformed::Stream)),
        ] {
            let line = format!("{AT} {line}");
            let found = Header::read(line.as_bytes());
            let found = found.map(|header| (header.stream, header.partial, &line[header.text_at..]));
            assert_eq!(found, read, "{line}");
        }
        assert_eq!(Header::read(b"rubbish\n"), Err(Malformed::NoTimestamp));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_or_none(bytes: Vec<u8>) {
            let _ = Header::read(&bytes);
        }

        #[test]
        fn nearly_lines(at in "[0-9]{3,4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]{0,12})?(Z|[+-][0-9]{2}:[0-9]{2})?",
                        rest in "( (stdout|stderr|x)?( (P|F|)(:[a-z]*)*( .*)?)?)?") {
            let line = format!("{at}{rest}\n");
            if let Ok(header) = Header::read(line.as_bytes()) {
                let mut shown = Vec::new();
                header.show_stamp(&mut shown);
                // What is shown means the same instant: to nine digits it is all there is.
                let again = [&shown[..], b"stdout F x"].concat();
                let again = Header::read(&again).expect("what is shown can be read");
                prop_assert_eq!(again.time, header.time);
                prop_assert!(header.text_at <= line.len());
            }
        }
    }
}

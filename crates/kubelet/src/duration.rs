//! Durations in the grammar that flags and configuration files use: `300ms`, `1m0s`, `1h30m`.
//!
//! The wire format is Go's (`time.ParseDuration`, `Duration.String`). Values are printed canonically, so that a
//! configuration that went through us compares equal, as text, to one that went through upstream.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A signed span of time in nanoseconds; ±292 years, as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

const NANOS_PER_MICRO: i64 = 1_000;
const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MINUTE: i64 = 60 * NANOS_PER_SECOND;
const NANOS_PER_HOUR: i64 = 60 * NANOS_PER_MINUTE;

impl GoDuration {
    /// No time at all; in most fields this means "not set".
    pub const ZERO: Self = Self(0);

    /// From whole nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds, saturating.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SECOND))
    }

    /// Whole nanoseconds.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The span as the standard library's type; negative spans become zero.
    #[must_use]
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

/// Why a text is no duration. Displays in the words of upstream's parser.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DurationError {
    /// Not the grammar at all, or out of range.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without a unit, as in `5`.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit that is none.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit found.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (whole, after) = rest.split_at(whole_len);
            let (fraction, after) = match after.strip_prefix('.') {
                Some(tail) => tail.split_at(tail.bytes().take_while(u8::is_ascii_digit).count()),
                None => ("", after),
            };
            if whole.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            let unit_len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, next) = after.split_at(unit_len);
            let scale = match unit {
                "" => return Err(DurationError::MissingUnit(text.to_owned())),
                "ns" => 1,
                "us" | "µs" | "μs" => NANOS_PER_MICRO,
                "ms" => NANOS_PER_MILLI,
                "s" => NANOS_PER_SECOND,
                "m" => NANOS_PER_MINUTE,
                "h" => NANOS_PER_HOUR,
                _ => {
                    return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
                }
            };
            let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
            total = whole
                .checked_mul(i128::from(scale))
                .and_then(|part| part.checked_add(fraction_of(fraction, scale)))
                .and_then(|part| total.checked_add(part))
                .filter(|sum| *sum <= i128::from(i64::MAX) + 1)
                .ok_or_else(invalid)?;
            rest = next;
        }
        let signed = if negative { -total } else { total };
        i64::try_from(signed).map(Self).map_err(|_| invalid())
    }
}

/// The part after the decimal point, cut off below a nanosecond. At most 16 digits count: the longest unit is an hour.
fn fraction_of(digits: &str, scale: i64) -> i128 {
    let digits = &digits[..digits.len().min(16)];
    let Ok(number) = digits.parse::<i128>() else { return 0 };
    number * i128::from(scale) / 10_i128.pow(u32::try_from(digits.len()).unwrap_or(16))
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        let second = NANOS_PER_SECOND.unsigned_abs();
        if nanos < second {
            let (unit, scale) = match nanos {
                n if n < 1_000 => ("ns", 1),
                n if n < 1_000_000 => ("µs", 1_000),
                _ => ("ms", 1_000_000),
            };
            return write!(f, "{}{unit}", Decimal { value: nanos, scale });
        }
        let (hours, minutes) = (nanos / second / 3600, nanos / second / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", Decimal { value: nanos % (60 * second), scale: second })
    }
}

/// `value / scale` without trailing zeros.
struct Decimal {
    value: u64,
    scale: u64,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value / self.scale)?;
        let fraction = self.value % self.scale;
        if fraction == 0 {
            return Ok(());
        }
        let width = usize::try_from(self.scale.ilog10()).unwrap_or(0);
        let digits = format!("{fraction:0width$}");
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_forms_are_upstreams() {
        for (text, canonical) in [
            ("60s", "1m0s"),
            ("1h", "1h0m0s"),
            ("4h0m0s", "4h0m0s"),
            ("100ms", "100ms"),
            ("1.5h", "1h30m0s"),
            ("0", "0s"),
            ("-1m", "-1m0s"),
            ("1500us", "1.5ms"),
            ("1.000000001s", "1.000000001s"),
            (".5s", "500ms"),
            ("1h1ns", "1h0m0.000000001s"),
            ("7µs", "7µs"),
            ("-9223372036854775808ns", "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn errors_are_upstreams() {
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("abc", "time: invalid duration \"abc\""),
            ("-", "time: invalid duration \"-\""),
            (".s", "time: invalid duration \".s\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            ("1s 2s", "time: unknown unit \"s \" in duration \"1s 2s\""),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap_err().to_string(), error);
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(nanos in any::<i64>()) {
            let duration = GoDuration::from_nanos(nanos);
            prop_assert_eq!(duration.to_string().parse::<GoDuration>(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.a-zµ]{0,24}") {
            if let Ok(duration) = text.parse::<GoDuration>() {
                prop_assert_eq!(duration.to_string().parse::<GoDuration>(), Ok(duration));
            }
        }
    }
}

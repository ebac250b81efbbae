//! A quantity as upstream's process keeps it in memory, which its hash of a pod looks at.
//!
//! ```text
//!   text ──► 64-bit value and decimal scale        what fits: "1500m", "1Gi", "1e3"
//!        └─► decimal of any size at a scale of 9   what does not: "1.5Gi", "12345678901234567890"
//! ```
//! Beside the number it keeps the kind of suffix, and the text itself where that is in canonical form already.

use std::{cmp::Ordering, fmt::Write as _};

/// Digits that surely fit 64 bits.
const SAFE_DIGITS: i32 = 18;
/// Smallest scale: nano.
const NANO: i32 = -9;
/// Resources are rounded up to thousandths.
const MILLI: i32 = -3;
/// Decimal places that one multiplication or division by a 64-bit word moves.
const STEPS: i32 = 19;
/// Exponents beyond this are refused: numbers so long would only cost memory.
const LARGEST_EXPONENT: i32 = 1000;

/// The number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Number {
    /// `value × 10^scale`.
    Small { value: i64, scale: i32 },
    /// `±magnitude × 10^-scale`.
    Large { negative: bool, magnitude: Magnitude, scale: i32 },
}

/// A parsed quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::spec::static_pod) struct Quantity {
    number: Number,
    text: String,
    format: &'static str,
}

/// Whether rounding changed a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spec::static_pod) enum Rounding {
    /// It did not.
    Exact,
    /// It did.
    Lossy,
}

/// A whole number of any size: 64-bit words, the lowest first, none of them a leading zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Magnitude(Vec<u64>);

impl Ord for Magnitude {
    fn cmp(&self, other: &Self) -> Ordering {
        let words = |it: &Self| it.0.iter().rev().copied().collect::<Vec<_>>();
        self.0.len().cmp(&other.0.len()).then_with(|| words(self).cmp(&words(other)))
    }
}

impl PartialOrd for Magnitude {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Magnitude {
    fn parse(digits: &str) -> Self {
        let mut all = Self::default();
        for digit in digits.bytes() {
            all.times_plus(10, u64::from(digit.wrapping_sub(b'0')));
        }
        all
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn times_plus(&mut self, factor: u64, mut carry: u64) {
        for word in &mut self.0 {
            let wide = u128::from(*word) * u128::from(factor) + u128::from(carry);
            *word = low(wide);
            carry = low(wide >> 64);
        }
        if carry != 0 {
            self.0.push(carry);
        }
    }

    /// Divides; returns the remainder.
    fn divide(&mut self, by: u64) -> u64 {
        let mut rest = 0u128;
        for word in self.0.iter_mut().rev() {
            let wide = rest << 64 | u128::from(*word);
            *word = low(wide / u128::from(by));
            rest = wide % u128::from(by);
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        low(rest)
    }
}

/// The low 64 bits.
#[allow(clippy::cast_possible_truncation, reason = "the cut is what is wanted")]
fn low(wide: u128) -> u64 {
    wide as u64
}

/// Parts of a text: sign, digits before and after the point, suffix.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn split(text: &str) -> Option<Parts<'_>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let unpadded = unsigned.trim_start_matches('0');
    let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = unpadded.split_at(end(unpadded));
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(end(rest)),
        None => ("", rest),
    };
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let exponent = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    if !exponent.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Parts {
        negative: text.starts_with('-'),
        whole: if whole.is_empty() { "0" } else { whole },
        fraction,
        suffix,
    })
}

/// Base, exponent and kind of a suffix.
fn suffix(text: &str) -> Option<(u32, i32, &'static str)> {
    const DECIMAL: [(&str, i32); 10] = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == text) {
        return Some((10, *exponent, "DecimalSI"));
    }
    if let Some(exponent) = (10..).step_by(10).zip(BINARY).find_map(|(e, name)| (name == text).then_some(e)) {
        return Some((2, exponent, "BinarySI"));
    }
    let exponent = text.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
    Some((10, exponent, "DecimalExponent"))
}

impl Quantity {
    /// What a field holds that is absent.
    pub(super) fn absent() -> Self {
        Self { number: Number::Small { value: 0, scale: 0 }, text: String::new(), format: "" }
    }

    /// Parses; `None` where upstream reports an error.
    pub(in crate::spec::static_pod) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        if text == "0" {
            let number = Number::Small { value: 0, scale: 0 };
            return Some(Self { number, text: text.to_owned(), format: "DecimalSI" });
        }
        let parts = split(text)?;
        let (base, exponent, format) = suffix(parts.suffix)?;
        if let Some(small) = small(text, &parts, base, exponent, format) {
            return Some(small);
        }
        (exponent.abs() <= LARGEST_EXPONENT).then(|| large(&parts, base, exponent, format))
    }

    /// Rounds up, away from zero, to thousandths, as is done with every amount of a resource.
    pub(in crate::spec::static_pod) fn round_up_to_milli(&mut self) -> Rounding {
        let lost = match &mut self.number {
            Number::Small { scale, .. } if *scale >= MILLI => return Rounding::Exact,
            Number::Small { value, scale } => {
                let divisor = 10_i64.pow((MILLI - *scale).unsigned_abs());
                let rest = *value % divisor;
                *value = *value / divisor + rest.signum();
                *scale = MILLI;
                rest != 0
            }
            Number::Large { magnitude, scale, .. } => rescale(magnitude, scale, -MILLI),
        };
        self.text.clear();
        if lost { Rounding::Lossy } else { Rounding::Exact }
    }

    /// A number of whole thousandths as text, as in `103m`.
    pub(in crate::spec::static_pod) fn milli_text(&self) -> Option<String> {
        match &self.number {
            Number::Small { value, scale: MILLI } => Some(format!("{value}m")),
            Number::Large { negative, magnitude, scale } if *scale == -MILLI => {
                let sign = if *negative { "-" } else { "" };
                let [word] = magnitude.0[..] else { return None };
                Some(format!("{sign}{word}m"))
            }
            _ => None,
        }
    }

    /// Writes the inside as the hash sees it.
    pub(super) fn write(&self, out: &mut String) {
        let (value, scale) = match &self.number {
            Number::Small { value, scale } => (*value, *scale),
            Number::Large { .. } => (0, 0),
        };
        let _ = write!(
            out,
            "{{i:(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}} \
             d:(resource.infDecAmount){{Dec:(*inf.Dec)"
        );
        match &self.number {
            Number::Small { .. } => out.push_str("<nil>"),
            Number::Large { negative, magnitude, scale } => {
                let words: Vec<String> = magnitude.0.iter().map(u64::to_string).collect();
                let words = match &words[..] {
                    [] => "<nil>".to_owned(),
                    words => format!("[{}]", words.join(" ")),
                };
                let _ = write!(
                    out,
                    "{{unscaled:(big.Int){{neg:(bool){negative} abs:(big.nat){words}}} scale:(inf.Scale){scale}}}"
                );
            }
        }
        let _ = write!(out, "}} s:(string){} Format:(resource.Format){}}}", self.text, self.format);
    }
}

/// The way for what fits 64 bits for sure.
fn small(text: &str, parts: &Parts<'_>, base: u32, exponent: i32, format: &'static str) -> Option<Quantity> {
    let count = |digits: &str| i32::try_from(digits.len()).unwrap_or(i32::MAX / 4);
    let (whole, fraction) = (count(parts.whole), count(parts.fraction));
    let (mantissa, scale, room) = match base {
        10 => (1, exponent, SAFE_DIGITS - whole - fraction),
        _ if fraction == 0 => (1_i64 << exponent, 0, 15 - whole - exponent * 3 / 10 - 1),
        _ => return None,
    };
    let scale = scale.checked_sub(fraction)?;
    if room < 0 || scale < NANO {
        return None;
    }
    let digits = format!("{}{}", parts.whole, parts.fraction);
    let value: i64 = digits.parse().ok()?;
    let signed = value.checked_mul(mantissa)?;
    let signed = if parts.negative { -signed } else { signed };
    let canonical = match base {
        2 => exponent % 10 == 0 && value & 7 != 0,
        _ => scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0'),
    };
    Some(Quantity {
        number: Number::Small { value: signed, scale },
        text: if canonical { text.to_owned() } else { String::new() },
        format,
    })
}

fn large(parts: &Parts<'_>, base: u32, exponent: i32, format: &'static str) -> Quantity {
    let most = Magnitude(vec![i64::MAX.unsigned_abs()]);
    let mut magnitude = Magnitude::parse(&format!("{}{}", parts.whole, parts.fraction));
    let mut scale = i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX);
    if base == 10 {
        scale = scale.saturating_sub(exponent);
    } else {
        magnitude.times_plus(1 << exponent, 0);
    }
    if !magnitude.is_zero() {
        rescale(&mut magnitude, &mut scale, -NANO);
    }
    let mut format = format;
    if format == "BinarySI" && !magnitude.is_zero() {
        let (mut bytes, mut at) = (magnitude.clone(), scale);
        let fraction = cut(&mut bytes, &mut at, 0);
        if bytes.is_zero() {
            format = "DecimalSI";
        }
        if bytes > most || (bytes == most && fraction) {
            magnitude = most;
            scale = 0;
        }
    }
    let negative = parts.negative && !magnitude.is_zero();
    Quantity { number: Number::Large { negative, magnitude, scale }, text: String::new(), format }
}

/// Brings a decimal to a scale. What is cut off rounds away from zero; tells whether anything was.
fn rescale(magnitude: &mut Magnitude, scale: &mut i32, wanted: i32) -> bool {
    while *scale < wanted {
        let steps = (wanted - *scale).min(STEPS);
        magnitude.times_plus(10_u64.pow(steps.unsigned_abs()), 0);
        *scale += steps;
    }
    let lost = cut(magnitude, scale, wanted);
    if lost {
        magnitude.times_plus(1, 1);
    }
    lost
}

/// Cuts digits off; tells whether any of them was not zero.
fn cut(magnitude: &mut Magnitude, scale: &mut i32, wanted: i32) -> bool {
    let mut lost = false;
    while *scale > wanted {
        let steps = (*scale - wanted).min(STEPS);
        lost |= magnitude.divide(10_u64.pow(steps.unsigned_abs())) != 0;
        *scale -= steps;
    }
    lost
}

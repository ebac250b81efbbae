//! Resource quantities: `100m`, `1.5Gi`, `2e3`, `512`.
//!
//! Exact arithmetic in billionths, as upstream keeps it: what is smaller is rounded away from zero. Values beyond
//! ±2⁶³ units are held at that bound.

use std::{fmt, str::FromStr};

const NANO: i128 = 1_000_000_000;
const LIMIT: i128 = (i64::MAX as i128) * NANO;

/// Which family of suffixes a quantity was written with; decides how it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Ki`, `Mi`, …
    BinarySi,
    /// `n`, `u`, `m`, none, `k`, `M`, …
    DecimalSi,
    /// `e3`, `E6`.
    DecimalExponent,
}

/// A parsed quantity. Compares by value.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum QuantityError {
    /// Not a number with an optional suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// An unknown suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Whole units, rounded up: bytes, processes, CPUs.
    #[must_use]
    pub fn value(self) -> i64 {
        round_up(self.nanos, NANO)
    }

    /// Thousandths, rounded up.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        round_up(self.nanos, NANO / 1_000)
    }

    /// Thousandths, rounded to the nearest: how CPU reservations are read (contract §1.1).
    #[must_use]
    pub fn nearest_milli(self) -> i64 {
        let micro = i128::from(round_up(self.nanos, 1_000));
        i64::try_from((micro + 500).div_euclid(1_000)).unwrap_or(i64::MAX)
    }

    /// Below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Exactly zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }
}

fn round_up(nanos: i128, unit: i128) -> i64 {
    let away = (nanos.abs() + unit - 1) / unit * nanos.signum();
    i64::try_from(away).unwrap_or(if away < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

/// Base-2 and base-10 exponents of a suffix.
fn suffix(text: &str) -> Result<(u32, i32, Format), QuantityError> {
    use Format::{BinarySi, DecimalExponent, DecimalSi};
    Ok(match text {
        "" => (0, 0, DecimalSi),
        "n" => (0, -9, DecimalSi),
        "u" => (0, -6, DecimalSi),
        "m" => (0, -3, DecimalSi),
        "k" => (0, 3, DecimalSi),
        "M" => (0, 6, DecimalSi),
        "G" => (0, 9, DecimalSi),
        "T" => (0, 12, DecimalSi),
        "P" => (0, 15, DecimalSi),
        "E" => (0, 18, DecimalSi),
        "Ki" => (10, 0, BinarySi),
        "Mi" => (20, 0, BinarySi),
        "Gi" => (30, 0, BinarySi),
        "Ti" => (40, 0, BinarySi),
        "Pi" => (50, 0, BinarySi),
        "Ei" => (60, 0, BinarySi),
        other => {
            let exponent = other.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
            (0, exponent.parse().map_err(|_| QuantityError::Suffix)?, DecimalExponent)
        }
    })
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, suffix_text) = rest.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Format);
        }
        if !suffix_text.bytes().all(|b| b"eEinumkKMGTP+-0123456789".contains(&b)) {
            return Err(QuantityError::Format);
        }
        let (two, ten, format) = suffix(suffix_text)?;
        let magnitude = magnitude(whole, fraction, two, ten);
        Ok(Self { nanos: if negative { -magnitude } else { magnitude }, format })
    }
}

/// `whole.fraction × 2^two × 10^ten` in billionths, rounded up, held at [`LIMIT`].
fn magnitude(whole: &str, fraction: &str, two: u32, ten: i32) -> i128 {
    // Twenty-eight significant digits are more than the bound and the smallest unit are apart.
    const DIGITS: usize = 28;
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return 0;
    }
    let (kept, cut) = digits.split_at(digits.len().min(DIGITS));
    let sticky = i128::from(cut.bytes().any(|b| b != b'0'));
    let mantissa = kept.parse::<i128>().unwrap_or(LIMIT) + sticky;
    let shift = i64::from(ten) - i64::try_from(fraction.len()).unwrap_or(i64::MAX / 2)
        + i64::try_from(cut.len()).unwrap_or(i64::MAX / 2)
        + 9;
    let Some(scaled) = mantissa.checked_mul(1_i128 << two) else { return LIMIT };
    let exponent = u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX);
    if shift >= 0 {
        10_i128.checked_pow(exponent).and_then(|p| scaled.checked_mul(p)).unwrap_or(LIMIT).min(LIMIT)
    } else {
        match 10_i128.checked_pow(exponent) {
            Some(divisor) => ((scaled - 1) / divisor + 1).min(LIMIT),
            None => 1,
        }
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that fits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi && self.nanos % NANO == 0 {
            let (value, step) = strip(self.nanos / NANO, 1024, BINARY.len() - 1);
            return write!(f, "{value}{}", BINARY[step]);
        }
        let (value, step) = strip(self.nanos, 1000, DECIMAL.len() - 1);
        if self.format == Format::DecimalExponent && step != 3 {
            return write!(f, "{value}e{}", i32::try_from(step).unwrap_or(3) * 3 - 9);
        }
        write!(f, "{value}{}", DECIMAL[step])
    }
}

/// Divides as long as nothing is lost; returns the rest and how often.
fn strip(mut value: i128, by: i128, most: usize) -> (i128, usize) {
    let mut times = 0;
    while times < most && value % by == 0 {
        value /= by;
        times += 1;
    }
    (value, times)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_and_canonical_forms() {
        for (text, value, canonical) in [
            ("0", 0, "0"),
            ("1Gi", 1 << 30, "1Gi"),
            ("1024Mi", 1 << 30, "1Gi"),
            ("1.5Gi", 3 << 29, "1536Mi"),
            ("100m", 1, "100m"),
            ("1000m", 1, "1"),
            ("2e3", 2000, "2e3"),
            ("1E", 1_000_000_000_000_000_000, "1E"),
            ("512", 512, "512"),
            ("1000", 1000, "1k"),
            ("+5M", 5_000_000, "5M"),
            ("-5Ki", -5120, "-5Ki"),
            ("0.5", 1, "500m"),
            (".5", 1, "500m"),
            ("5.", 5, "5"),
            ("99999999999999999999999", i64::MAX, "9223372036854775807"),
        ] {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(quantity.value(), value, "{text}");
            assert_eq!(quantity.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn cpu_reservations_round_to_the_nearest_milli() {
        for (text, milli) in [("0.1", 100), ("100.4m", 100), ("100.5m", 101), ("2", 2000), ("1n", 0)] {
            assert_eq!(text.parse::<Quantity>().unwrap().nearest_milli(), milli, "{text}");
        }
    }

    #[test]
    fn rejects_what_is_no_quantity() {
        for text in ["", "-", "abc", "1.2.3", "1 Gi", "Gi", "."] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError::Format), "{text:?}");
        }
        for text in ["1GiB", "1KK", "1e", "1i", "1ki"] {
            assert!(text.parse::<Quantity>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn canonical_form_keeps_the_value(number in "-?[0-9]{1,12}(\\.[0-9]{0,6})?", unit in "(|n|u|m|k|M|G|Ki|Mi|Gi|e3|e-3)") {
            let quantity: Quantity = format!("{number}{unit}").parse().unwrap();
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eEinumkKMGTP]{0,40}") {
            let _ = text.parse::<Quantity>();
        }
    }
}

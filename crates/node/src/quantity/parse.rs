//! The grammar of quantities: sign, digits, fraction, suffix.

use super::{Format, NANO, Quantity};

/// Why a text is no quantity. The texts are the original's, except [`ParseError::TooLong`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not of the form number and suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// No such suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// More than 38 decimal digits, or an exponent that makes it so.
    #[error("unable to parse numeric part of quantity: more than 38 digits")]
    TooLong,
}

enum Unit {
    /// Power of ten.
    Ten(i32),
    /// Power of two.
    Two(u32),
}

fn unit(suffix: &str) -> Option<(Unit, Format)> {
    let decimal = |power| Some((Unit::Ten(power), Format::DecimalSi));
    let binary = |power| Some((Unit::Two(power), Format::BinarySi));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let power = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some((Unit::Ten(power), Format::DecimalExponent))
        }
    }
}

/// Splits off what `accept` takes.
fn take(text: &str, accept: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !accept(byte)).unwrap_or(text.len());
    text.split_at(end)
}

pub(super) fn parse(text: &str) -> Result<Quantity, ParseError> {
    if text.is_empty() {
        return Err(ParseError::Form);
    }
    let digit = |byte: u8| byte.is_ascii_digit();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // Like the original this takes a number without any digit (`Ki`, `.`) for zero.
    let (whole, rest) = take(rest, digit);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => take(rest, digit),
        None => ("", rest),
    };
    let (_, after_letters) = take(suffix, |byte| b"eEinumkKMGTP".contains(&byte));
    let exponent = after_letters.strip_prefix(['-', '+']).unwrap_or(after_letters);
    if !exponent.bytes().all(digit) {
        return Err(ParseError::Form);
    }
    let (unit, mut format) = unit(suffix).ok_or(ParseError::Suffix)?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    let dropped = i32::try_from(digits.len() - trimmed.len()).map_err(|_| ParseError::TooLong)?;
    let places = i32::try_from(fraction.len()).map_err(|_| ParseError::TooLong)?;
    if trimmed.is_empty() {
        return Ok(Quantity::of(0, 0, format));
    }
    let (digits, scale) = match unit {
        Unit::Ten(power) => {
            let scale = i64::from(power) - i64::from(places) + i64::from(dropped);
            let scale = i32::try_from(scale).map_err(|_| ParseError::TooLong)?;
            to_nano(trimmed, scale)?
        }
        Unit::Two(power) => {
            let number: i128 = trimmed.parse().map_err(|_| ParseError::TooLong)?;
            (number.checked_mul(1i128 << power).ok_or(ParseError::TooLong)?, dropped - places)
        }
    };
    let mut quantity = Quantity::of(digits, scale, format);
    if matches!(unit, Unit::Two(_)) {
        // The original caps binary quantities, and prints what is below one as a decimal.
        quantity = quantity.min(Quantity::integer(i64::MAX, format));
        if quantity < Quantity::integer(1, format) {
            format = Format::DecimalSi;
        }
    }
    let quantity = quantity.with_format(format);
    Ok(if negative { quantity.negated() } else { quantity })
}

/// Cuts digits below nano off, rounding up, before they could be too many.
fn to_nano(digits: &str, scale: i32) -> Result<(i128, i32), ParseError> {
    let below = usize::try_from(NANO.saturating_sub(scale)).unwrap_or(0);
    let kept = digits.len().saturating_sub(below);
    let (kept, rest) = digits.split_at(kept);
    let number: i128 = if kept.is_empty() { 0 } else { kept.parse().map_err(|_| ParseError::TooLong)? };
    if below == 0 {
        return Ok((number, scale));
    }
    let up = i128::from(rest.bytes().any(|byte| byte != b'0'));
    Ok((number.checked_add(up).ok_or(ParseError::TooLong)?, NANO))
}

//! Numbers as Go's `strconv` writes them with the verb `g`: scrapers read any form, but tools compare pages as text.
//!
//! The digits are the fewest that read back as the same value, which Rust's formatting yields too; what differs is when an
//! exponent is written (below -4, and from 6 on) and how (a sign and two digits at least).

use std::fmt::Write as _;

/// The smallest exponent that is written as one with positive powers of ten.
const FIRST_EXPONENT: i32 = 6;

/// The smallest power of ten that is still written as a fraction.
const LAST_FRACTION: i32 = -4;

/// Appends a number.
pub(super) fn write(out: &mut String, value: f64) {
    // A write into a string cannot fail.
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value == 0.0 {
        out.push('0');
    } else {
        let start = out.len();
        let _ = write!(out, "{value:e}");
        let Some((exponent_at, exponent)) = exponent(&out[start..]) else { return };
        if (LAST_FRACTION..FIRST_EXPONENT).contains(&exponent) {
            out.truncate(start);
            let _ = write!(out, "{value}");
        } else {
            out.truncate(start + exponent_at);
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "e{sign}{:02}", exponent.abs());
        }
    }
}

/// Where the `e` stands, and the power of ten behind it.
fn exponent(text: &str) -> Option<(usize, i32)> {
    let at = text.find('e')?;
    Some((at, text[at + 1..].parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_written_as_upstream_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (51.0, "51"),
            (20_000.0, "20000"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (1_048_576.0, "1.048576e+06"),
            (124_416_000.0, "1.24416e+08"),
            (1_795_457_061.79, "1.79545706179e+09"),
            (18_446_744_073_709_551_615.0, "1.8446744073709552e+19"),
            (0.005, "0.005"),
            (0.006_460_806, "0.006460806"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (3.715e-6, "3.715e-06"),
            (9.999_999_999_999_999e-6, "9.999999999999999e-06"),
            (1e-300, "1e-300"),
            (0.167_846_627, "0.167846627"),
            (315_356_937.322_778_94, "3.1535693732277894e+08"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(super::super::number(value), text);
        }
    }
}

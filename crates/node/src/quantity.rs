//! Quantities: the numbers of the Kubernetes API (`100m`, `64Mi`, `1.5`, `3e6`).
//!
//! Why it exists: capacity, allocatable, requests and thresholds are compared, added and printed, and what is printed
//! is compared byte by byte by other programs. The grammar, the rounding and the canonical form are those of
//! apimachinery's `resource.Quantity`; `testdata/quantity.tsv` holds answers of the original.
//!
//! Invariants:
//! - a quantity is exact: an integer times a power of ten not below 10⁻⁹;
//! - what does not fit (finer than nano, or a fraction where an integer is asked for) is rounded away from zero: who
//!   asks for some gets some;
//! - arithmetic never wraps: it saturates.
//!
//! Limits: 38 decimal digits. A decimal of 10²¹ and more is printed with an exponent (`1e21`), where the original
//! prints it without any suffix.

use std::{cmp::Ordering, collections::BTreeMap, fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire;

mod parse;
pub use parse::ParseError;

/// Resource name → quantity.
pub type ResourceList = BTreeMap<String, Quantity>;

/// How a quantity is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Powers of 1000: `n u m k M G T P E`.
    #[default]
    DecimalSi,
    /// Powers of 1024: `Ki Mi Gi Ti Pi Ei`.
    BinarySi,
    /// `e3`.
    DecimalExponent,
}

/// Finest scale: 10⁻⁹.
const NANO: i32 = -9;
/// Suffixes of [`Format::DecimalSi`] by exponent, from 10⁻⁹ to 10¹⁸.
const DECIMAL_SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Suffixes of [`Format::BinarySi`] by power of 1024.
const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// A quantity. Equality and order look at the value only, not at the format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    /// Without trailing zeros; the value is `digits × 10^scale`.
    digits: i128,
    /// Not below [`NANO`]; 0 for zero.
    scale: i32,
    format: Format,
}

impl Quantity {
    /// Zero, decimal.
    pub const ZERO: Self = Self { digits: 0, scale: 0, format: Format::DecimalSi };

    /// A whole number.
    #[must_use]
    pub fn integer(value: i64, format: Format) -> Self {
        Self::of(value.into(), 0, format)
    }

    /// A number of bytes, printed in powers of 1024. Saturates at `i64::MAX`.
    #[must_use]
    pub fn bytes(value: u64) -> Self {
        Self::integer(i64::try_from(value).unwrap_or(i64::MAX), Format::BinarySi)
    }

    /// A plain count, printed as a decimal.
    #[must_use]
    pub fn count(value: i64) -> Self {
        Self::integer(value, Format::DecimalSi)
    }

    /// Thousandths, printed as a decimal: CPU.
    #[must_use]
    pub fn milli(value: i64) -> Self {
        Self::of(value.into(), -3, Format::DecimalSi)
    }

    fn of(digits: i128, scale: i32, format: Format) -> Self {
        let (mut digits, mut scale) = (digits, scale);
        if digits == 0 {
            return Self { digits, scale: 0, format };
        }
        while digits % 10 == 0 {
            digits /= 10;
            scale += 1;
        }
        if scale < NANO {
            return Self::of(divide_away(digits, NANO.abs_diff(scale)), NANO, format);
        }
        Self { digits, scale, format }
    }

    /// Format it was parsed or made with.
    #[must_use]
    pub fn format(self) -> Format {
        self.format
    }

    /// The same value in another format.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// Whether it is less than zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.digits < 0
    }

    /// Rounded away from zero to a whole number; saturates.
    #[must_use]
    pub fn value(self) -> i64 {
        self.scaled_value(0)
    }

    /// Thousandths, rounded away from zero; saturates.
    #[must_use]
    pub fn milli_value(self) -> i64 {
        self.scaled_value(-3)
    }

    /// Thousandths, rounded to the nearest: how upstream reads reservations of CPU. What is finer than a millionth is
    /// rounded away from zero before; saturates.
    #[must_use]
    pub fn nearest_milli(self) -> i64 {
        self.scaled_value(-6).saturating_add(500).div_euclid(1_000)
    }

    /// In units of `10^scale`, rounded away from zero; saturates.
    #[must_use]
    pub fn scaled_value(self, scale: i32) -> i64 {
        let wide = match self.scale.cmp(&scale) {
            Ordering::Less => divide_away(self.digits, self.scale.abs_diff(scale)),
            _ => multiply(self.digits, self.scale.abs_diff(scale)),
        };
        i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
    }

    /// As a floating point number, for ratios.
    #[must_use]
    pub fn approximate(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "approximate by contract")]
        let digits = self.digits as f64;
        digits * 10f64.powi(self.scale)
    }

    /// Sum. If this is zero the result takes the other's format; saturates.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        let scale = self.scale.min(other.scale);
        let left = multiply(self.digits, self.scale.abs_diff(scale));
        let right = multiply(other.digits, other.scale.abs_diff(scale));
        Self::of(left.saturating_add(right), scale, format)
    }

    /// Difference. If this is zero the result takes the other's format; saturates.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// Difference, but not below zero. The format is kept, except that a zero minuend takes the other's.
    #[must_use]
    pub fn minus_floored(self, other: Self) -> Self {
        let rest = self.minus(other);
        if rest.is_negative() { Self { digits: 0, scale: 0, format: rest.format } } else { rest }
    }

    /// Product with a whole number; saturates.
    #[must_use]
    pub fn times(self, factor: i64) -> Self {
        Self::of(self.digits.saturating_mul(factor.into()), self.scale, self.format)
    }

    /// The opposite.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { digits: self.digits.saturating_neg(), ..self }
    }
}

/// `digits × 10^power`, saturating.
fn multiply(digits: i128, power: u32) -> i128 {
    if digits == 0 {
        return 0;
    }
    match 10i128.checked_pow(power) {
        Some(factor) => digits.saturating_mul(factor),
        None if digits < 0 => i128::MIN,
        None => i128::MAX,
    }
}

/// `digits ÷ 10^power`, rounded away from zero.
fn divide_away(digits: i128, power: u32) -> i128 {
    let Some(divisor) = 10i128.checked_pow(power) else { return digits.signum() };
    let (whole, rest) = (digits / divisor, digits % divisor);
    if rest == 0 { whole } else { whole + digits.signum() }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = self.digits.signum();
        match sign.cmp(&other.digits.signum()) {
            Ordering::Equal if sign == 0 => Ordering::Equal,
            Ordering::Equal => {
                let size = magnitude(*self, *other);
                if sign < 0 { size.reverse() } else { size }
            }
            unequal => unequal,
        }
    }
}

/// Order of the absolute values of two quantities that are not zero, without multiplying them.
fn magnitude(left: Quantity, right: Quantity) -> Ordering {
    let (a, b) = (left.digits.unsigned_abs().to_string(), right.digits.unsigned_abs().to_string());
    let places = |text: &str, scale: i32| i64::try_from(text.len()).unwrap_or(i64::MAX) + i64::from(scale);
    // Both start with a digit that is not zero and end with one: as fractions they compare like text.
    places(&a, left.scale).cmp(&places(&b, right.scale)).then_with(|| a.cmp(&b))
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, as few digits as the format's suffixes allow.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi
            && let Some((digits, suffix)) = self.binary()
        {
            return write!(f, "{digits}{suffix}");
        }
        let spare = self.scale.rem_euclid(3);
        let exponent = self.scale - spare;
        let zeros = ["", "0", "00"].get(usize::try_from(spare).unwrap_or(0)).copied().unwrap_or("");
        write!(f, "{}{zeros}", self.digits)?;
        let known = usize::try_from((exponent - NANO) / 3).ok().and_then(|index| DECIMAL_SUFFIXES.get(index));
        match known {
            Some(suffix) if self.format != Format::DecimalExponent => f.write_str(suffix),
            _ if exponent == 0 => Ok(()),
            _ => write!(f, "e{exponent}"),
        }
    }
}

impl Quantity {
    /// Number and suffix in powers of 1024; `None` when that would lose something, or is below 1024.
    fn binary(self) -> Option<(i128, &'static str)> {
        if self.scale < 0 {
            return None;
        }
        let mut number = self.digits.checked_mul(10i128.checked_pow(self.scale.unsigned_abs())?)?;
        if number.unsigned_abs() < 1024 {
            return None;
        }
        let mut power = 0;
        while number % 1024 == 0 && power + 1 < BINARY_SUFFIXES.len() {
            number /= 1024;
            power += 1;
        }
        Some((number, BINARY_SUFFIXES.get(power)?))
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }
}

impl TryFrom<&Wire> for Quantity {
    type Error = ParseError;

    fn try_from(wire: &Wire) -> Result<Self, ParseError> {
        wire.0.trim().parse()
    }
}

impl From<Quantity> for Wire {
    /// Canonical. To pass a user's quantity on as it was written, keep the wire type.
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_string())
    }
}

/// A resource list of the API as numbers. Quantities that cannot be parsed are left out: objects from the API cannot
/// have any, and what containers of manifests ask for is checked when they are read.
#[must_use]
pub fn numbers(list: Option<&BTreeMap<String, Wire>>) -> ResourceList {
    list.into_iter()
        .flatten()
        .filter_map(|(name, wire)| Some((name.clone(), Quantity::try_from(wire).ok()?)))
        .collect()
}

/// The other way.
#[must_use]
pub fn wire(list: &ResourceList) -> BTreeMap<String, Wire> {
    list.iter().map(|(name, quantity)| (name.clone(), (*quantity).into())).collect()
}

#[cfg(test)]
mod tests;

#![allow(clippy::panic, reason = "a test says what it met")]

use proptest::prelude::*;

use super::*;

/// Answers of apimachinery 0.37.2: input, then `!` and the error's name, or canonical form, value, milli value, format.
/// The original keeps some inputs as they are written (`005`); adding zero there makes them canonical. It rounds
/// negative fractions of a certain size to a positive number: their values are those of the opposite, negated.
const GOLDEN: &str = include_str!("../../testdata/quantity.tsv");
/// Likewise: two quantities, their sum, difference, order.
const PAIRS: &str = include_str!("../../testdata/quantity_pairs.tsv");

fn q(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_answer_of_the_original() {
    let mut seen = 0;
    for line in GOLDEN.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let parsed = fields[0].parse::<Quantity>();
        match (fields[1], parsed) {
            ("!form", Err(ParseError::Form)) | ("!suffix", Err(ParseError::Suffix)) => {}
            (canonical, Ok(quantity)) => {
                assert_eq!(quantity.to_string(), canonical, "{line}");
                assert_eq!(quantity.value().to_string(), fields[2], "value of {line}");
                assert_eq!(quantity.milli_value().to_string(), fields[3], "milli value of {line}");
                assert_eq!(
                    format!("{:?}", quantity.format()).to_lowercase(),
                    fields[4].to_lowercase(),
                    "{line}"
                );
            }
            (_, other) => panic!("{line}: {other:?}"),
        }
        seen += 1;
    }
    assert!(seen > 150, "{seen} lines");
}

#[test]
fn sums_and_differences_of_the_original() {
    for line in PAIRS.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let (left, right) = (q(fields[0]), q(fields[1]));
        assert_eq!(left.plus(right).to_string(), fields[2], "{line}");
        assert_eq!(left.minus(right).to_string(), fields[3], "{line}");
        assert_eq!((left.cmp(&right) as i8).to_string(), fields[4], "{line}");
    }
}

#[test]
fn what_is_beyond_the_original() {
    // The original prints these without a suffix, which reads as a much smaller number.
    assert_eq!(q("1000E").to_string(), "1e21");
    assert_eq!(q("1e-5").to_string(), "10e-6");
    assert_eq!("9".repeat(60).parse::<Quantity>(), Err(ParseError::TooLong));
    assert_eq!(q(&format!("0.{}1", "0".repeat(60))).to_string(), "1n");
    assert_eq!(q("1e30").value(), i64::MAX);
    assert_eq!(q("-1e30").value(), i64::MIN);
    assert_eq!(q("1e30").times(2).plus(q("1e99")).value(), i64::MAX);
}

#[test]
fn subtraction_has_a_floor() {
    assert_eq!(q("1Gi").minus_floored(q("2Gi")).to_string(), "0");
    assert_eq!(q("24684092Ki").minus_floored(q("100Mi")).to_string(), "24581692Ki");
}

prop_compose! {
    fn any_quantity()(digits in -1_000_000_000_000i64..1_000_000_000_000, scale in -9i32..12, format in 0usize..3)
        -> Quantity {
        let format = [Format::DecimalSi, Format::BinarySi, Format::DecimalExponent][format];
        Quantity::of(digits.into(), scale, format)
    }
}

proptest! {
    #[test]
    fn printing_and_parsing_keep_the_value(quantity in any_quantity()) {
        // Parsing caps binary quantities at the largest 64-bit number.
        prop_assume!(quantity.approximate().abs() < 9e18);
        let text = quantity.to_string();
        let again = q(&text);
        prop_assert_eq!(again, quantity);
        prop_assert!(!text.contains('.'));
        prop_assert_eq!(again.with_format(quantity.format()).to_string(), text, "a fixed point");
    }

    #[test]
    fn order_is_that_of_integers(a in any_quantity(), b in any_quantity()) {
        let nano = |x: Quantity| x.digits * 10i128.pow((x.scale - NANO).unsigned_abs());
        prop_assert_eq!(a.cmp(&b), nano(a).cmp(&nano(b)));
        prop_assert_eq!(nano(a.plus(b)), nano(a) + nano(b));
        prop_assert_eq!(a.plus(b).minus(b), a);
    }

    #[test]
    fn rounding_is_away_from_zero_and_by_less_than_one(a in any_quantity()) {
        prop_assume!(a.approximate().abs() < 9e18);
        let rounded = Quantity::count(a.value());
        let outwards = if a.is_negative() { rounded <= a } else { rounded >= a };
        prop_assert!(outwards);
        let gap = if a.is_negative() { a.minus(rounded) } else { rounded.minus(a) };
        prop_assert!(gap < Quantity::count(1) && !gap.is_negative());
    }

    #[test]
    fn nothing_panics(text in "[-+]?[0-9.]{0,8}[eEinumkKMGTPx]{0,3}[-+]?[0-9]{0,12}") {
        if let Ok(quantity) = text.parse::<Quantity>() {
            let _ = (quantity.to_string(), quantity.value(), quantity.approximate(), quantity.plus(quantity));
        }
    }
}

#[test]
fn reservations_of_cpu_are_rounded_to_the_nearest_milli() {
    for (text, milli) in [("0.1", 100), ("100.4m", 100), ("100.5m", 101), ("2", 2000), ("1n", 0)] {
        assert_eq!(text.parse::<Quantity>().unwrap().nearest_milli(), milli, "{text}");
    }
}

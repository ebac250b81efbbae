//! CPU lists: `0-3,8,10-11`.

use std::collections::BTreeSet;

/// Reads a list.
///
/// # Errors
/// What is wrong, in the words of upstream's parser.
pub fn parse(text: &str) -> Result<BTreeSet<u32>, String> {
    // A list names CPUs of one machine; without a bound `0-4000000000` would eat the memory of one.
    const MOST: u32 = 1 << 16;
    let number = |text: &str| {
        text.parse::<u32>()
            .ok()
            .filter(|cpu| *cpu < MOST)
            .ok_or_else(|| format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
    };
    let mut cpus = BTreeSet::new();
    if text.is_empty() {
        return Ok(cpus);
    }
    for range in text.split(',') {
        match range.split_once('-') {
            None => {
                cpus.insert(number(range)?);
            }
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(format!("invalid range {range:?} ({first} > {last})"));
                }
                cpus.extend(first..=last);
            }
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(parse("0-2,5,2").unwrap().into_iter().collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert!(parse("").unwrap().is_empty());
        assert_eq!(parse("3-1").unwrap_err(), "invalid range \"3-1\" (3 > 1)");
        for text in ["a", "1-", "-1", "1,,2", "0-4000000000"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

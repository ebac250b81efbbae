//! Ten thousand lives and more, under faults and without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use sim::{Options, live_many};

/// Lives of one test; the environment variable `SIM_LIVES` asks for more.
fn lives(default: u64) -> u64 {
    std::env::var("SIM_LIVES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn ten_thousand_lives_under_faults() {
    let sum =
        live_many(1, lives(10_000), Options::default()).unwrap_or_else(|violation| panic!("{violation}"));
    // The weather was as bad as announced.
    assert!(sum.faults > 10_000 && sum.starts > 10_000, "{sum:?}");
}

#[test]
fn a_thousand_lives_without_faults() {
    let options = Options { fault_free: true, ..Options::default() };
    live_many(1_000_000, lives(1_000), options).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn a_seed_names_its_life() {
    let figures = |seed| format!("{:?}", live_many(seed, 3, Options::default()).unwrap());
    assert_eq!(figures(42), figures(42));
    assert_ne!(figures(42), figures(4242));
}

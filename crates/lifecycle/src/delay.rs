//! What delays between a failure and the next try are made of, here and at the edges.

use std::time::Duration;

/// `first` × 2^(tries−1), at most `cap`.
#[must_use]
pub fn doubled(first: Duration, tries: u32, cap: Duration) -> Duration {
    let factor = 1u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(cap)
}

/// FNV-1a, 64 bits: spreads what many pods do without a source of randomness.
pub fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

//! Pauses between attempts, and chance.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

/// Doubling pauses with jitter: a pause of `d` lasts between `d` and `2d`.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    current: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, current: first }
    }

    /// client-go's reflector: 0.8 s to 30 s.
    pub(crate) fn reflector() -> Self {
        Self::new(Duration::from_millis(800), Duration::from_secs(30))
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.current;
        self.current = (pause * 2).min(self.most);
        pause + jitter(pause)
    }

    pub(crate) fn reset(&mut self) {
        self.current = self.first;
    }
}

/// A random duration below `most`. The standard library's hash keys are random enough to spread load.
pub(crate) fn jitter(most: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() >> 11;
    // 53 bits: the fraction is exact.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit the mantissa")]
    most.mul_f64(random as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_vary() {
        let mut backoff = Backoff::reflector();
        let mut least = Duration::from_millis(800);
        for _ in 0..8 {
            let pause = backoff.next();
            assert!(pause >= least && pause <= least * 2, "{pause:?}");
            least = (least * 2).min(Duration::from_secs(30));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(1600));
        let some: std::collections::BTreeSet<_> = (0..20).map(|_| jitter(Duration::from_secs(300))).collect();
        assert!(some.len() > 15 && some.iter().all(|d| *d < Duration::from_secs(300)));
    }
}

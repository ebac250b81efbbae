//! What was measured of one quantity on one kubelet, and the few numbers that are made of it.

use serde::Serialize;

/// Values in the order in which they were measured, in the quantity's unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// Add one.
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many there are.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value below which this share (0 to 1) of the samples lies, between two samples by proportion. `None` without
    /// samples.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a position among samples that were counted one by one"
    )]
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let position = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
        let below = *sorted.get(position.floor() as usize)?;
        let above = *sorted.get(position.ceil() as usize)?;
        Some(below + (above - below) * position.fract())
    }

    /// The median.
    #[must_use]
    pub(super) fn p50(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// The 99th percentile: with fewer than a hundred samples little else than the largest.
    #[must_use]
    pub(super) fn p99(&self) -> Option<f64> {
        self.quantile(0.99)
    }
}

/// One median divided by another. `None` if one is missing, or the divisor is nought.
#[must_use]
pub(super) fn ratio(measured: &Samples, reference: &Samples) -> Option<f64> {
    let (above, below) = (measured.p50()?, reference.p50()?);
    (below != 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn quantiles_lie_between_samples() {
        let four = samples(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(four.p50(), Some(2.5));
        assert_eq!(four.quantile(0.0), Some(1.0));
        assert_eq!(four.quantile(1.0), Some(4.0));
        let hundred = samples(&(1..=100).map(f64::from).collect::<Vec<_>>());
        assert!((hundred.p99().unwrap() - 99.01).abs() < 1e-9);
        assert_eq!(samples(&[7.0]).p99(), Some(7.0));
        assert_eq!(samples(&[]).p50(), None);
    }

    #[test]
    fn a_ratio_wants_both_and_no_nought_below() {
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[4.0])), Some(0.25));
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[])), None);
        assert_eq!(ratio(&samples(&[1.0]), &samples(&[0.0])), None);
    }
}

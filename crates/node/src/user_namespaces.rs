//! Which ids of the node the user namespaces of its pods get (contract §15, `hostUsers: false`).
//!
//! Every pod gets a block of the same length, for user and group ids alike, so that no two pods and no pod and the node
//! have an id in common. Blocks begin at multiples of their length: what one is can be told from where it begins.

use std::collections::BTreeSet;

/// Length of a block where the configuration names none: what images may expect to have.
pub const IDS_PER_POD: u32 = 1 << 16;

/// Beyond the last id.
const END: u64 = 1 << 32;

/// Consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// Why the ids that a machine sets aside for the kubelet cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// More than one range, or none, for one of both kinds.
    #[error("there are {uids} ranges of user ids and {gids} of group ids, and there has to be one of each")]
    Ranges {
        /// Ranges of user ids.
        uids: usize,
        /// Ranges of group ids.
        gids: usize,
    },
    /// They have to be the same for users and groups.
    #[error(
        "user ids {uids:?} and group ids {gids:?} differ", uids = (uids.first, uids.count), gids = (gids.first, gids.count)
    )]
    Differ {
        /// Of user ids.
        uids: IdRange,
        /// Of group ids.
        gids: IdRange,
    },
    /// The first id is too small or no multiple of a block's length.
    #[error("the first id {first} is no multiple of {per_pod} from {per_pod} on")]
    First {
        /// First id.
        first: u32,
        /// Ids of a pod.
        per_pod: u32,
    },
    /// Not enough for the pods that the node may have.
    #[error("{count} ids are less than {max_pods} pods (maxPods) need, with {per_pod} each")]
    Few {
        /// Ids.
        count: u32,
        /// `maxPods`.
        max_pods: u32,
        /// Ids of a pod.
        per_pod: u32,
    },
}

/// The ids that pods may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPool {
    first: u32,
    end: u64,
    per_pod: u32,
}

impl IdPool {
    /// All ids behind the first block, which is the node's own. A length of 0 counts as 1.
    #[must_use]
    pub fn whole(per_pod: u32) -> Self {
        let per_pod = per_pod.max(1);
        Self { first: per_pod, end: END, per_pod }
    }

    /// The subordinate ids that the machine's administrator has set aside.
    ///
    /// # Errors
    /// [`PoolError`]: upstream does not start with them either.
    pub fn subordinate(
        uids: &[IdRange],
        gids: &[IdRange],
        per_pod: u32,
        max_pods: u32,
    ) -> Result<Self, PoolError> {
        let per_pod = per_pod.max(1);
        let (&[users], &[groups]) = (uids, gids) else {
            return Err(PoolError::Ranges { uids: uids.len(), gids: gids.len() });
        };
        if users != groups {
            return Err(PoolError::Differ { uids: users, gids: groups });
        }
        let IdRange { first, count } = users;
        if first < per_pod || !first.is_multiple_of(per_pod) {
            return Err(PoolError::First { first, per_pod });
        }
        if u64::from(count) < u64::from(max_pods) * u64::from(per_pod) {
            return Err(PoolError::Few { count, max_pods, per_pod });
        }
        Ok(Self { first, end: (u64::from(first) + u64::from(count)).min(END), per_pod })
    }

    /// Length of a block.
    #[must_use]
    pub fn per_pod(&self) -> u32 {
        self.per_pod
    }

    /// Whether a block may begin there.
    #[must_use]
    pub fn has(&self, first: u32) -> bool {
        first >= self.first
            && first.is_multiple_of(self.per_pod)
            && u64::from(first) + u64::from(self.per_pod) <= self.end
    }

    /// Beginning of the first block that is not taken; `None` when all are.
    #[must_use]
    pub fn free(&self, taken: &BTreeSet<u32>) -> Option<u32> {
        let length = u64::from(self.per_pod);
        let mut next = u64::from(self.first);
        while next + length <= self.end {
            let first = u32::try_from(next).ok()?;
            if !taken.contains(&first) {
                return Some(first);
            }
            next += length;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(first: u32, count: u32) -> IdRange {
        IdRange { first, count }
    }

    #[test]
    fn blocks_are_given_from_the_first_that_is_free() {
        let pool = IdPool::whole(IDS_PER_POD);
        assert_eq!(pool.free(&BTreeSet::new()), Some(65536));
        assert_eq!(pool.free(&BTreeSet::from([65536, 3 * 65536])), Some(2 * 65536));
        assert!(pool.has(65536) && pool.has(0xffff_0000));
        assert!(!pool.has(0) && !pool.has(65537));
    }

    #[test]
    fn the_last_block_ends_with_the_last_id() {
        let pool =
            IdPool::subordinate(&[range(0xfffe_0000, 0x2_0000)], &[range(0xfffe_0000, 0x2_0000)], 65536, 2);
        let pool = pool.unwrap();
        assert_eq!(pool.free(&BTreeSet::from([0xfffe_0000])), Some(0xffff_0000));
        assert_eq!(pool.free(&BTreeSet::from([0xfffe_0000, 0xffff_0000])), None);
        assert!(!pool.has(65536));
    }

    #[test]
    fn ranges_that_cannot_serve_are_refused() {
        let of =
            |uids: &[IdRange], gids: &[IdRange]| IdPool::subordinate(uids, gids, 65536, 110).unwrap_err();
        let good = range(65536, 110 * 65536);
        assert_eq!(of(&[], &[good]), PoolError::Ranges { uids: 0, gids: 1 });
        assert!(matches!(of(&[good], &[range(65536, 65536)]), PoolError::Differ { .. }));
        assert!(matches!(of(&[range(0, 110 * 65536)], &[range(0, 110 * 65536)]), PoolError::First { .. }));
        assert!(matches!(of(&[range(65536, 65536)], &[range(65536, 65536)]), PoolError::Few { .. }));
        assert_eq!(IdPool::subordinate(&[good], &[good], 65536, 110).unwrap().per_pod(), 65536);
    }
}

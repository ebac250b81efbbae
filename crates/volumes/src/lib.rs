//! One file per volume plugin over linux and cluster

//! Black-box tests of the real kubelet binary.

//! The tasks: sources, pod workers and executor, observer, status, node

//! `/debug/pprof/`: Go's profiles, which a program that is not Go has none of.
//!
//! The command line is the one page that means the same here. The others say what to use in their place, so that whoever
//! comes with a script of another kubelet learns it at once.

use std::os::unix::ffi::OsStrExt as _;

use hyper::{Response, StatusCode};

use super::answer::{Body, TEXT, full, not_found, of_type, text};

/// Profiles of Go's runtime and their handlers.
const KNOWN: [&str; 11] = [
    "",
    "allocs",
    "block",
    "goroutine",
    "heap",
    "mutex",
    "profile",
    "symbol",
    "threadcreate",
    "trace",
    "goroutineleak",
];

const NONE: &str = "there are no Go profiles: this kubelet is not written in Go\n\
    hint: on the node, `perf record --call-graph dwarf --pid $(pidof kubelet)` for processor time, /proc/PID/smaps_rollup \
    for memory; `kubelet explain` for what a pod waits for\n";

pub(super) fn serve(name: &str) -> Response<Body> {
    match name {
        // Arguments with a zero byte between them.
        "cmdline" => {
            let arguments: Vec<Vec<u8>> = std::env::args_os().map(|arg| arg.as_bytes().to_vec()).collect();
            of_type(StatusCode::OK, TEXT, full(arguments.join(&0)))
        }
        name if KNOWN.contains(&name) => text(StatusCode::NOT_IMPLEMENTED, NONE),
        _ => not_found(),
    }
}

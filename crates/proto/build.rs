//! Compiles the contracts under `protos/` without an installed `protoc`.
//!
//! Maps become `BTreeMap`s, so that what we send has one order and tests can compare bytes.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=protos");
    let cri = protox::compile(["runtime/v1/service.proto"], ["protos"])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .build_transport(true)
        .btree_map(".")
        .skip_debug([".runtime.v1.AuthConfig"])
        .emit_rerun_if_changed(false)
        .compile_fds(cri)?;
    Ok(())
}

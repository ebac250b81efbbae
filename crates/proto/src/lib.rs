//! gRPC contracts: only `.proto` files and generated code.
//!
//! The `.proto` files under `protos/` are ours; names and numbers in them are the wire's. They are compiled at build
//! time without an installed `protoc`. Nothing here decides anything: rendering lives in the edges.

/// Container Runtime Interface, version v1, of Kubernetes 1.37.
///
/// Generated: messages, [`runtime_service_client`](cri::runtime_service_client),
/// [`image_service_client`](cri::image_service_client) and the server traits that fakes implement.
#[allow(
    missing_docs,
    unreachable_pub,
    deprecated,
    clippy::all,
    clippy::pedantic,
    clippy::large_futures,
    reason = "generated code; `deprecated`: old runtimes still want the fields"
)]
pub mod cri {
    tonic::include_proto!("runtime.v1");

    impl std::fmt::Debug for AuthConfig {
        /// Names the registry, never a credential: requests reach logs through their Debug form.
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("AuthConfig").field("server_address", &self.server_address).finish_non_exhaustive()
        }
    }
}

//! gRPC contracts: only .proto files and generated code

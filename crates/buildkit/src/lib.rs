//! BuildKit door.
pub mod grpc;
pub mod proto;

//! The messages of BuildKit's protocols, as far as this engine speaks them.
//!
//! Field numbers are those of moby/buildkit's and tonistiigi/fsutil's public `.proto` files. Fields that are not named
//! here are skipped when they arrive, and never sent.

pub mod content;
pub mod control;
pub mod gateway;
pub mod session;

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Timestamp {
    /// Seconds since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds of the second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// The time now.
    #[must_use]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::from_nanoseconds(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// From nanoseconds since 1970.
    #[must_use]
    pub fn from_nanoseconds(ns: i64) -> Self {
        let nanos = i32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or_default();
        Self { seconds: ns.div_euclid(1_000_000_000), nanos }
    }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct RpcStatus {
    /// A gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What happened.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `pb.Platform`.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Platform {
    /// `amd64`.
    #[prost(string, tag = "1")]
    pub architecture: String,
    /// `linux`.
    #[prost(string, tag = "2")]
    pub os: String,
    /// `v7`.
    #[prost(string, tag = "3")]
    pub variant: String,
}

/// `pb.Definition`: a graph of operations. Only whether there is one matters here.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Definition {
    /// The operations, marshalled.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub def: Vec<Vec<u8>>,
}

/// `grpc.health.v1.HealthCheckResponse`; 1 is serving.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct HealthResponse {
    /// 1 while serving.
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// A message without fields.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Empty {}

//! Black-box tests: an engine is started in namespaces of its own and asked only through its socket and clients.
//!
//! The same tests run against Debian's dockerd to prove that an expectation is Docker's and not only berth's:
//!
//! ```text
//! BERTH_TEST_ENGINE=dockerd cargo test -p berth-blackbox     # the judge
//! BERTH_TEST_CLIENT=berth   cargo test -p berth-blackbox     # berth's own client instead of docker's
//! BERTH_TEST_BINARY=…/berth cargo test -p berth-blackbox     # another binary than the one beside the tests
//! ```
//!
//! [`Engine`] starts and ends it and checks that nothing stays behind; [`http`] speaks raw HTTP, so that bodies no
//! client would send can be sent; [`operations`] reads the table that docs/api-operations.md promises.

pub mod bundle;
pub mod busybox;
pub mod command;
pub mod engine;
pub mod guest;
pub mod http;
pub mod leftover;
pub mod machine;
pub mod operations;
pub mod skip;
pub mod wait;
pub mod workload;

pub use bundle::Bundle;
pub use command::Output;
pub use engine::{Engine, Kind};
pub use http::{Http, Response};
pub use wait::eventually;

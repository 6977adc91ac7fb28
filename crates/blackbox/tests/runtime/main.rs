//! The OCI runtime's command line, by itself and under engines of others.
//!
//! ```text
//! BERTH_TEST_RUNTIME=runc cargo test -p berth-blackbox --test runtime     # the judge
//! ```

mod engines;
mod hooks;
mod life;
mod process;

//! Against a registry in this process that says exactly what a test wants.

mod blobs;
mod downloads;
mod flaky;
mod manifests;
mod server;
mod uploads;

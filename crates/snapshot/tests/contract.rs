//! The contract, run by both implementations.

use berth_snapshot::{copy::Copy, overlay::Overlay};

#[test]
fn overlay_keeps_the_contract() {
    let scratch = tempfile::tempdir().expect("tempdir");
    berth_snapshot::contract::run(&|root| Box::new(Overlay::open(root).expect("open")), scratch.path());
}

#[test]
fn copy_keeps_the_contract() {
    let scratch = tempfile::tempdir().expect("tempdir");
    berth_snapshot::contract::run(&|root| Box::new(Copy::open(root).expect("open")), scratch.path());
}

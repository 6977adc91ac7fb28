//! The contract, run by all implementations.

use berth_snapshot::{copy::Copy, erofs::Erofs, overlay::Overlay};

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

#[test]
fn erofs_keeps_the_contract() {
    let scratch = tempfile::tempdir().expect("tempdir");
    berth_snapshot::contract::run(&|root| Box::new(Erofs::open(root, false).expect("open")), scratch.path());
}

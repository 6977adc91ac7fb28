//! What every [`NetworkDriver`] must keep. Run it in a network namespace of its own.

use std::os::fd::BorrowedFd;

use super::NetworkDriver;
use crate::record::{EndpointRecord, NetworkRecord};

/// Runs the suite with a network and an endpoint that do not exist yet, and a namespace that stands for a container.
/// Leaves no link behind.
///
/// # Panics
/// At the first point of the contract that is not kept.
pub fn run(driver: &dyn NetworkDriver, network: &NetworkRecord, endpoint: &EndpointRecord, namespace: BorrowedFd<'_>) {
    assert!(!driver.name().is_empty());
    assert!(!driver.exists(network).expect("look"), "nothing exists at first");
    driver.leave(network, endpoint).expect("leaving without a join is no error");
    driver.remove(network).expect("removing nothing is no error");

    for _ in 0..2 {
        driver.ensure(network).expect("ensuring twice is no error");
    }
    driver.join(network, endpoint, namespace).expect("join");
    let swept = driver.sweep(network, std::slice::from_ref(endpoint)).expect("sweep");
    assert_eq!(swept, super::Sweep::default(), "a known endpoint stays and is not missing");
    for _ in 0..2 {
        driver.leave(network, endpoint).expect("leaving twice is no error");
    }

    driver.join(network, endpoint, namespace).expect("joining again after leaving");
    driver.sweep(network, &[]).expect("sweep of a crash's rest");
    driver.join(network, endpoint, namespace).expect("the rest is gone: its name is free again");
    driver.leave(network, endpoint).expect("leave");

    driver.remove(network).expect("remove");
    driver.join(network, endpoint, namespace).expect("a join makes missing links");
    driver.leave(network, endpoint).expect("leave");
    for _ in 0..2 {
        driver.remove(network).expect("removing twice is no error");
    }
    assert!(!driver.exists(network).expect("look"), "nothing is left");
}

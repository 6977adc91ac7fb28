//! Networks on a real kernel. Each test runs in a process of its own, inside a network namespace of its own: the test
//! starts its own binary again under unshare(1). nft(8) and ip(8) judge what the engine did; the engine never calls
//! them.

mod contracts;
mod driver;
mod ipv6;
mod network;
mod ports;
mod repair;
mod stage;

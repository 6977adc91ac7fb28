//! The resolver that containers of a user's networks ask: names, aliases and reverse, forwarded upstream otherwise.
//!
//! ```text
//!   daemon ── writes ──► <exec-root>/dns/{networks,containers}/<id>.json ◄── reads ── resolver (a process of its own)
//!     └──── "read this again" by a socket, answered when it is done ──────────────────►│
//!                                                       127.0.0.11:53 in each container's network namespace
//! ```
//!
//! What is known is on disk, so the resolver answers on while the daemon is down or is being replaced, and a resolver
//! that was killed is started again and knows everything. Its sockets lie in the namespaces of the containers, where
//! nobody else can ask them; a container's end closes them, as they would keep the namespace alive. Questions that no
//! network answers go to the servers of the host, or of `--dns`, from the host's own namespace.
//!
//! Source: RFC 1035, RFC 6891 (EDNS), RFC 7766 (TCP).

mod bind;
mod control;
mod error;
mod forward;
pub mod message;
mod serve;
mod state;
mod tcp;
mod zone;

pub use control::{SOCKET, poke};
pub use error::{Error, Result};
pub use serve::main;
pub use state::{Container, Member, Membership, Network, State};

/// Where containers ask.
pub const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);
/// The port of name servers.
pub const PORT: u16 = 53;
/// Where the resolver listens when rules of the container's network lead questions there, so that a name server of the
/// container's own can have [`PORT`] on all addresses.
pub const HIDDEN_PORT: u16 = 65_053;

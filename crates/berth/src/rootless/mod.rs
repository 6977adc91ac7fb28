//! An engine of an ordinary user.
//!
//! ```text
//!  the user's shell ── berth daemon ──┬─ finds or starts the holder ── maps ids (newuidmap) ── starts the uplink (pasta)
//!                                     └─ joins the holder's namespaces and executes itself again: now root in there
//!
//!  berth rootless DIR  (the holder)   user, mount and network namespace of all daemons that come; carries ports
//!    thread "berth-binder"            stays in the machine's network: sockets that listen are made there
//! ```
//!
//! A daemon that dies leaves containers that only somebody in their namespaces can look after, so these belong to a process
//! of their own, which the next daemon finds by its directory in the runtime root:
//!
//! ```text
//!   <runtime root>/rootless/   holder ("pid birth")   socket (relays)   log   resolv.conf
//!                              uplink.pid   uplink ("pasta" …)   uplink.log
//! ```
//!
//! Inside, user ids are the caller's (0) and its subordinate ones (from 1 on). The kernel maps no ids of mounts there, so
//! containers see the ids as they are, in a user namespace of their own that has no rights over the daemon's.

mod enter;
mod holder;
mod place;
mod uplink;

pub use enter::{enter, is_inside, is_needed, leave};
pub use holder::hold;
pub use place::{Roots, roots};
pub use uplink::kind as uplink_kind;

//! A small synchronous netlink codec: links, addresses and routes (`rtnetlink(7)`), and nf_tables.
//!
//! ```text
//! request.rs   bytes out: header, family header, nested attributes
//! reply.rs     bytes in: messages, attributes, refusals with the kernel's own words; trusts no length
//! socket.rs    one socket: send a batch, collect every acknowledgement; dump
//! link.rs      veth pairs, bridges         address.rs, route.rs
//! conntrack.rs UDP flows to forget     qdisc.rs  limits of speed
//! nft/         tables, chains, sets, elements, rules, expressions
//! bits.rs      the numbers, with the header each comes from
//! ```
//!
//! A batch costs one `sendmsg(2)`; the kernel works through it before that call returns, so the answers are only
//! collected. Nothing here knows containers, and nothing here is asynchronous.

pub mod address;
pub mod bits;
pub mod conntrack;
pub mod link;
pub mod nft;
pub mod qdisc;
pub mod reply;
pub mod request;
pub mod route;
pub mod socket;

pub use request::Request;
pub use socket::{Family, Refusal, Socket};

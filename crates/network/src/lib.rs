//! Networks: links, addresses, published ports and the files in which a container finds them.
//!
//! ```text
//! networks.rs              the noun: what exists, who is where
//!   attach.rs detach.rs    one container joins and leaves
//!   settle.rs              links go in the background
//!   gateway.rs             which of its networks a container's way out is
//!   state.rs               what is in memory
//!   publish.rs             ports of a running container come and go
//!   counters.rs            what went through its links
//!   create.rs remove.rs    networks come and go
//!   subnet.rs              which addresses a network gets
//!   setting.rs             the kernel's settings, changed and put back
//!   recover.rs watch.rs    after a crash; after somebody else changed the rules
//! driver/                  how containers are wired (trait NetworkDriver: bridge, macvlan, cni, null)
//! firewall/                packet rules (trait Firewall: nftables, off)
//! netlink/                 the kernel's protocols, synchronous
//! ipam.rs port.rs          who has which address and which port of the host
//! relay/                   [::]:port of the host, for networks without IPv6: a process of its own
//! resolv.rs hosts.rs       contents of /etc/resolv.conf and /etc/hosts, pure functions
//! record.rs                what is on disk
//! ```
//!
//! A record is written before the effect it describes, and removed after its undoing, so that [`Networks::recover`]
//! finds whatever a killed daemon left. Links, rules and connections go on while no daemon runs.
//!
//! Names of containers on networks of a user's own are answered by the DNS server that belongs to the network; it
//! gets its answers from [`Networks::names`].

mod attach;
pub mod cidr;
pub mod config;
mod counters;
mod create;
mod detach;
pub mod driver;
mod error;
pub mod firewall;
mod gateway;
mod hosts;
pub mod ipam;
mod names;
pub mod net_device;
pub mod netlink;
mod networks;
pub mod port;
mod publish;
pub mod record;
mod recover;
pub mod relay;
mod remove;
mod resolv;
mod setting;
mod settle;
mod state;
mod subnet;
mod sysctl;
mod watch;

pub use attach::{AttachRequest, Endpoint, Netns};
pub use cidr::Cidr;
pub use config::{AddressPool, NetworkConfig};
pub use create::CreateRequest;
pub use error::{Error, Result};
pub use hosts::{HostEntry, hosts_file};
pub use names::lead_names;
pub use netlink::link::Counters;
pub use networks::{Inspected, Networks};
pub use port::{PortMapping, Protocol, PublishedPort};
pub use record::{EndpointRecord, GatewayMode, NetworkRecord, Subnet};
pub use resolv::{HostResolver, resolv_conf};
pub use subnet::SubnetRequest;

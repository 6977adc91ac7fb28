//! Numbers of a network device (virtio 1.2, 5.1) and of taps (Linux, include/uapi/linux/if_tun.h). // tidy: table

/// `VIRTIO_ID_NET`.
pub const ID: u32 = 1;
pub const RECEIVE: usize = 0;
pub const SEND: usize = 1;
pub const QUEUES: &[u16] = &[256, 256];

/// `VIRTIO_NET_F_CSUM`: the device completes checksums.
pub const CHECKSUM: u64 = 1 << 0;
/// `VIRTIO_NET_F_GUEST_CSUM`: so does the driver.
pub const GUEST_CHECKSUM: u64 = 1 << 1;
/// `VIRTIO_NET_F_MAC`.
pub const MAC: u64 = 1 << 5;
/// `VIRTIO_NET_F_GUEST_TSO4`, `_TSO6`: the driver takes segments larger than a packet.
pub const GUEST_TSO4: u64 = 1 << 7;
pub const GUEST_TSO6: u64 = 1 << 8;
/// `VIRTIO_NET_F_HOST_TSO4`, `_TSO6`: so does the device.
pub const HOST_TSO4: u64 = 1 << 11;
pub const HOST_TSO6: u64 = 1 << 12;
/// `VIRTIO_NET_F_MRG_RXBUF`: a packet may lie in several buffers.
pub const MERGEABLE: u64 = 1 << 15;

/// `struct virtio_net_hdr_v1`, which taps use too.
pub const HEADER_BYTES: usize = 12;
/// Where in it the number of buffers is.
pub const BUFFERS_AT: usize = 10;
/// The largest packet with its header: 64 KiB of IP, an Ethernet header with a VLAN tag.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + 65535 + 18;

/// `IFF_TAP`, `IFF_NO_PI`, `IFF_VNET_HDR`.
pub const TAP: libc::c_short = 0x0002;
pub const NO_INFORMATION: libc::c_short = 0x1000;
pub const OFFLOAD_HEADER: libc::c_short = 0x4000;
/// `TUN_F_CSUM`, `TUN_F_TSO4`, `TUN_F_TSO6`.
pub const TAP_CHECKSUM: libc::c_uint = 0x01;
pub const TAP_TSO4: libc::c_uint = 0x02;
pub const TAP_TSO6: libc::c_uint = 0x04;
/// `TUNSETIFF`, `TUNSETOFFLOAD`, `TUNSETVNETHDRSZ`.
pub const SET_INTERFACE: libc::c_ulong = 0x4004_54ca;
pub const SET_OFFLOADS: libc::c_ulong = 0x4004_54d0;
pub const SET_HEADER_BYTES: libc::c_ulong = 0x4004_54d8;

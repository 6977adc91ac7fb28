//! Numbers of the netlink protocols. Each group names the kernel header that defines it.

/// `linux/netlink.h`: message flags and types.
pub mod nl {
    pub const REQUEST: u16 = 0x1;
    pub const ACK: u16 = 0x4;
    pub const DUMP: u16 = 0x300;
    pub const REPLACE: u16 = 0x100;
    pub const EXCL: u16 = 0x200;
    pub const CREATE: u16 = 0x400;
    pub const APPEND: u16 = 0x800;
    /// The ACK leaves the request's payload out.
    pub const CAPPED: u16 = 0x100;
    /// The ACK carries attributes.
    pub const ACK_TLVS: u16 = 0x200;
    /// The dump saw a change while it ran.
    pub const DUMP_INTR: u16 = 0x10;

    pub const NOOP: u16 = 1;
    pub const ERROR: u16 = 2;
    pub const DONE: u16 = 3;
    pub const OVERRUN: u16 = 4;

    pub const HEADER_LEN: usize = 16;
    pub const NESTED: u16 = 0x8000;
    pub const TYPE_MASK: u16 = 0x3fff;
    /// `NLMSGERR_ATTR_MSG`.
    pub const ERROR_TEXT: u16 = 1;
}

/// `linux/rtnetlink.h`, `linux/if_link.h`, `linux/if_addr.h`, `linux/if.h`, `linux/veth.h`.
pub mod rt {
    pub const NEWLINK: u16 = 16;
    pub const DELLINK: u16 = 17;
    pub const GETLINK: u16 = 18;
    pub const NEWADDR: u16 = 20;
    pub const GETADDR: u16 = 22;
    pub const NEWROUTE: u16 = 24;
    pub const GETROUTE: u16 = 26;

    pub const IFF_UP: u32 = 0x1;

    pub const IFLA_ADDRESS: u16 = 1;
    pub const IFLA_IFNAME: u16 = 3;
    pub const IFLA_MTU: u16 = 4;
    pub const IFLA_LINK: u16 = 5;
    pub const IFLA_MASTER: u16 = 10;
    pub const IFLA_OPERSTATE: u16 = 16;
    /// `IF_OPER_UP`: up, and the other end too.
    pub const OPERATING: u8 = 6;
    pub const IFLA_LINKINFO: u16 = 18;
    pub const IFLA_IFALIAS: u16 = 20;
    pub const IFLA_STATS64: u16 = 23;
    pub const IFLA_AF_SPEC: u16 = 26;
    pub const IFLA_NET_NS_FD: u16 = 28;
    pub const IFLA_INFO_KIND: u16 = 1;
    pub const IFLA_INFO_DATA: u16 = 2;
    pub const VETH_INFO_PEER: u16 = 1;
    /// `linux/if_link.h`.
    pub const IFLA_MACVLAN_MODE: u16 = 1;
    pub const IFLA_IPVLAN_MODE: u16 = 1;
    pub const IFLA_IPVLAN_FLAGS: u16 = 2;
    pub const IFLA_VLAN_ID: u16 = 1;
    pub const IFLA_BR_FORWARD_DELAY: u16 = 1;
    pub const IFLA_INFO_SLAVE_KIND: u16 = 4;
    pub const IFLA_INFO_SLAVE_DATA: u16 = 5;
    pub const IFLA_BRPORT_MODE: u16 = 4;
    pub const IFLA_BRPORT_ISOLATED: u16 = 33;
    pub const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
    pub const IN6_ADDR_GEN_MODE_NONE: u8 = 1;

    pub const IFA_ADDRESS: u16 = 1;
    pub const IFA_LOCAL: u16 = 2;
    pub const IFA_BROADCAST: u16 = 4;
    /// No search for duplicates: the engine gives addresses out once.
    pub const IFA_F_NODAD: u8 = 0x2;

    pub const RTA_DST: u16 = 1;
    pub const RTA_OIF: u16 = 4;
    pub const RTA_GATEWAY: u16 = 5;
    pub const RTA_TABLE: u16 = 15;
    pub const RT_TABLE_MAIN: u8 = 254;
    pub const RT_TABLE_LOCAL: u8 = 255;
    pub const RTPROT_BOOT: u8 = 3;
    pub const RT_SCOPE_UNIVERSE: u8 = 0;
    pub const RTN_UNICAST: u8 = 1;

    pub const IFINFO_LEN: usize = 16;
    pub const IFADDR_LEN: usize = 8;
    pub const RTMSG_LEN: usize = 12;
}

/// `linux/netfilter/nfnetlink.h`, `linux/netfilter/nf_tables.h`, `linux/netfilter/nf_conntrack_common.h`.
pub mod nf {
    pub const SUBSYSTEM: u16 = 10 << 8;
    pub const BATCH_BEGIN: u16 = 16;
    pub const BATCH_END: u16 = 17;
    pub const GROUP_MASK: u32 = 1 << (7 - 1);
    pub const PROTO_INET: u8 = 1;
    pub const PROTO_IPV4: u8 = 2;
    pub const PROTO_IPV6: u8 = 10;

    pub const NEWTABLE: u16 = SUBSYSTEM;
    pub const GETTABLE: u16 = SUBSYSTEM | 1;
    pub const DELTABLE: u16 = SUBSYSTEM | 2;
    pub const NEWCHAIN: u16 = SUBSYSTEM | 3;
    pub const GETCHAIN: u16 = SUBSYSTEM | 4;
    pub const NEWRULE: u16 = SUBSYSTEM | 6;
    pub const GETRULE: u16 = SUBSYSTEM | 7;
    pub const NEWSET: u16 = SUBSYSTEM | 9;
    pub const NEWSETELEM: u16 = SUBSYSTEM | 12;
    pub const DELSETELEM: u16 = SUBSYSTEM | 14;
    pub const NEWGEN: u16 = SUBSYSTEM | 15;
    pub const DESTROYTABLE: u16 = SUBSYSTEM | 26;
    pub const DESTROYSETELEM: u16 = SUBSYSTEM | 30;

    pub const TABLE_NAME: u16 = 1;
    pub const CHAIN_TABLE: u16 = 1;
    pub const CHAIN_NAME: u16 = 3;
    pub const CHAIN_HOOK: u16 = 4;
    pub const CHAIN_POLICY: u16 = 5;
    pub const CHAIN_TYPE: u16 = 7;
    pub const HOOK_NUMBER: u16 = 1;
    pub const HOOK_PRIORITY: u16 = 2;
    pub const RULE_TABLE: u16 = 1;
    pub const RULE_CHAIN: u16 = 2;
    pub const RULE_EXPRESSIONS: u16 = 4;
    pub const SET_TABLE: u16 = 1;
    pub const SET_NAME: u16 = 2;
    pub const SET_FLAGS: u16 = 3;
    pub const SET_KEY_TYPE: u16 = 4;
    pub const SET_KEY_LEN: u16 = 5;
    pub const SET_DATA_TYPE: u16 = 6;
    pub const SET_DATA_LEN: u16 = 7;
    pub const SET_DESCRIPTION: u16 = 9;
    pub const SET_ID: u16 = 10;
    pub const SET_USER_DATA: u16 = 13;
    pub const SET_FLAG_INTERVAL: u32 = 0x4;
    pub const SET_FLAG_MAP: u32 = 0x8;
    pub const SET_FLAG_TIMEOUT: u32 = 0x10;
    pub const SET_FLAG_DYNAMIC: u32 = 0x20;
    pub const SET_TIMEOUT: u16 = 11;
    pub const SET_FLAG_CONCATENATED: u32 = 0x80;
    pub const DESCRIPTION_FIELDS: u16 = 2;
    pub const FIELD_LEN: u16 = 1;
    pub const ELEMENTS_TABLE: u16 = 1;
    pub const ELEMENTS_SET: u16 = 2;
    pub const ELEMENTS_LIST: u16 = 3;
    pub const ELEMENT_KEY: u16 = 1;
    pub const ELEMENT_DATA: u16 = 2;
    pub const ELEMENT_KEY_END: u16 = 10;
    pub const LIST_ELEMENT: u16 = 1;
    pub const DATA_VALUE: u16 = 1;
    pub const DATA_VERDICT: u16 = 2;
    pub const VERDICT_CODE: u16 = 1;
    pub const VERDICT_CHAIN: u16 = 2;
    pub const EXPRESSION_NAME: u16 = 1;
    pub const EXPRESSION_DATA: u16 = 2;

    /// `NF_INET_*` hooks of `linux/netfilter.h`.
    pub const HOOK_PREROUTING: u32 = 0;
    pub const HOOK_INPUT: u32 = 1;
    pub const HOOK_FORWARD: u32 = 2;
    pub const HOOK_OUTPUT: u32 = 3;
    pub const HOOK_POSTROUTING: u32 = 4;

    pub const VERDICT_DROP: i32 = 0;
    pub const VERDICT_ACCEPT: i32 = 1;
    pub const VERDICT_RETURN: i32 = -5;
    pub const VERDICT_JUMP: i32 = -3;
    pub const REGISTER_VERDICT: u32 = 0;
    /// `NFT_REG32_00`: the first of sixteen 4-byte registers.
    pub const REGISTER_FIRST: u32 = 8;

    pub const META_PROTOCOL_FAMILY: u32 = 15;
    pub const META_L4_PROTOCOL: u32 = 16;
    pub const META_INPUT_NAME: u32 = 6;
    pub const META_OUTPUT_NAME: u32 = 7;
    pub const CMP_EQUAL: u32 = 0;
    pub const CMP_UNEQUAL: u32 = 1;
    pub const PAYLOAD_NETWORK: u32 = 1;
    pub const PAYLOAD_TRANSPORT: u32 = 2;
    pub const CT_STATE: u32 = 0;
    pub const CT_STATUS: u32 = 2;
    pub const CT_STATE_ESTABLISHED: u32 = 1 << 1;
    pub const CT_STATE_RELATED: u32 = 1 << 2;
    pub const CT_STATUS_DESTINATION_NAT: u32 = 1 << 5;
    pub const FIB_ADDRESS_TYPE: u32 = 3;
    pub const FIB_FLAG_DESTINATION: u32 = 1 << 1;
    pub const LOOKUP_INVERTED: u32 = 1;
    pub const DYNSET_ADD: u32 = 0;
    pub const NAT_DESTINATION: u32 = 1;
}

/// `linux/netfilter/nfnetlink_conntrack.h`.
pub mod ct {
    /// struct nfgenmsg: IPv4.
    pub const HEADER: [u8; 4] = [2, 0, 0, 0];
    /// The same of IPv6.
    pub const HEADER6: [u8; 4] = [10, 0, 0, 0];
    pub const GET: u16 = 1 << 8 | 1;
    pub const DELETE: u16 = 1 << 8 | 2;
    pub const TUPLE_ORIGINAL: u16 = 1;
    pub const TUPLE_REPLY: u16 = 2;
    pub const FILTER: u16 = 25;
    pub const FILTER_ORIGINAL: u16 = 1;
    pub const FILTER_REPLY: u16 = 2;
    pub const BY_PROTOCOL: u32 = 1 << 3;
    pub const BY_DESTINATION_PORT: u32 = 1 << 5;
    pub const TUPLE_ADDRESSES: u16 = 1;
    pub const TUPLE_PROTOCOL: u16 = 2;
    pub const SOURCE: u16 = 1;
    pub const DESTINATION: u16 = 2;
    pub const SOURCE6: u16 = 3;
    pub const DESTINATION6: u16 = 4;
    pub const PROTOCOL_NUMBER: u16 = 1;
    pub const DESTINATION_PORT: u16 = 3;
    pub const UDP: u8 = 17;
}

/// `linux/rtnetlink.h`, `linux/pkt_sched.h`.
pub mod tc {
    pub const NEWQDISC: u16 = 36;
    /// struct tcmsg.
    pub const HEADER_LEN: usize = 20;
    pub const ROOT: u32 = 0xffff_ffff;
    pub const HANDLE: u32 = 0x0b17_0000;
    pub const KIND: u16 = 1;
    pub const OPTIONS: u16 = 2;
    pub const TBF_PARAMETERS: u16 = 1;
    pub const TBF_RATE64: u16 = 4;
    pub const TBF_BURST: u16 = 6;
    /// struct tc_tbf_qopt.
    pub const TBF_PARAMETERS_LEN: usize = 36;
    /// `TC_LINKLAYER_ETHERNET`: the kernel computes times itself.
    pub const LINK_LAYER_ETHERNET: u8 = 1;
}

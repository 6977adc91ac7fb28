//! One instruction of the kernel's rule machine. Values move through sixteen registers of four bytes; an instruction
//! that does not match ends its rule.

use crate::netlink::{bits::nf, request::Request};

/// An instruction (`enum nft_*_attributes` of `linux/netfilter/nf_tables.h`). Registers count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads a fact about the packet (`NFT_META_*`).
    Meta { key: u32, to: u32 },
    /// Loads `len` bytes at `offset` of the network or transport header.
    Payload { base: u32, offset: u32, len: u32, to: u32 },
    /// Loads a fact about the connection (`NFT_CT_*`).
    Connection { key: u32, to: u32 },
    /// Loads the address type of the destination (`RTN_*`).
    DestinationType { to: u32 },
    /// Keeps the bits of `mask` of one register.
    Mask { register: u32, mask: u32 },
    /// Matches when the register equals `value`, or differs from it.
    Compare { register: u32, equal: bool, value: Vec<u8> },
    /// Matches when the set holds the register's value, or lacks it; `to` takes what a map says.
    Lookup { set: String, register: u32, inverted: bool, to: Option<u32> },
    /// Rewrites the destination, of `family` (`NFPROTO_*`), from two registers.
    DestinationNat { family: u8, address: u32, port: u32 },
    /// Adds what is in the register to a set.
    Add { set: String, register: u32 },
    /// Rewrites the source to the address of the link the packet leaves by.
    Masquerade,
    /// Ends the rule with a verdict (`NF_*`, `NFT_*`), perhaps in another chain.
    Verdict { code: i32, chain: Option<String> },
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta { .. } => "meta",
            Self::Payload { .. } => "payload",
            Self::Connection { .. } => "ct",
            Self::DestinationType { .. } => "fib",
            Self::Mask { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Lookup { .. } => "lookup",
            Self::DestinationNat { .. } => "nat",
            Self::Add { .. } => "dynset",
            Self::Masquerade => "masq",
            Self::Verdict { .. } => "immediate",
        }
    }

    /// Appends the instruction to a rule's list.
    pub fn encode(&self, list: &mut Request) {
        list.nest(nf::LIST_ELEMENT, |element| {
            element.text(nf::EXPRESSION_NAME, self.name());
            element.nest(nf::EXPRESSION_DATA, |data| self.encode_data(data));
        });
    }

    fn encode_data(&self, data: &mut Request) {
        let at = |register: &u32| register + nf::REGISTER_FIRST;
        match self {
            Self::Meta { key, to } | Self::Connection { key, to } => {
                data.number_be(1, at(to)).number_be(2, *key);
            }
            Self::Payload { base, offset, len, to } => {
                data.number_be(1, at(to)).number_be(2, *base).number_be(3, *offset).number_be(4, *len);
            }
            Self::DestinationType { to } => {
                data.number_be(1, at(to)).number_be(2, nf::FIB_ADDRESS_TYPE).number_be(3, nf::FIB_FLAG_DESTINATION);
            }
            Self::Mask { register, mask } => {
                data.number_be(1, at(register)).number_be(2, at(register)).number_be(3, 4);
                value(data, 4, &mask.to_ne_bytes());
                value(data, 5, &[0; 4]);
            }
            Self::Compare { register, equal, value: wanted } => {
                let operation = if *equal { nf::CMP_EQUAL } else { nf::CMP_UNEQUAL };
                data.number_be(1, at(register)).number_be(2, operation);
                value(data, 3, wanted);
            }
            Self::Lookup { set, register, inverted, to } => {
                data.text(1, set).number_be(2, at(register));
                if let Some(to) = to {
                    data.number_be(3, at(to));
                }
                if *inverted {
                    data.number_be(5, nf::LOOKUP_INVERTED);
                }
            }
            Self::DestinationNat { family, address, port } => {
                data.number_be(1, nf::NAT_DESTINATION).number_be(2, u32::from(*family));
                data.number_be(3, at(address)).number_be(5, at(port));
            }
            Self::Add { set, register } => {
                data.text(1, set).number_be(3, nf::DYNSET_ADD).number_be(4, at(register));
            }
            Self::Masquerade => {}
            Self::Verdict { code, chain } => {
                data.number_be(1, nf::REGISTER_VERDICT).nest(2, |inside| {
                    inside.nest(nf::DATA_VERDICT, |verdict| {
                        verdict.put(nf::VERDICT_CODE, &code.to_be_bytes());
                        if let Some(chain) = chain {
                            verdict.text(nf::VERDICT_CHAIN, chain);
                        }
                    });
                });
            }
        }
    }
}

/// Appends `bytes` as `NFTA_DATA_VALUE` inside the attribute `kind`.
pub fn value(request: &mut Request, kind: u16, bytes: &[u8]) {
    request.nest(kind, |data| {
        data.put(nf::DATA_VALUE, bytes);
    });
}

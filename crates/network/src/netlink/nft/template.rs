//! The small part of nft(8)'s language in which rule files are written, read into kernel instructions.
//!
//! ```text
//! file   = "table inet" NAME "{" (set | map | chain)* "}"
//! set    = "set" NAME "{ type" TYPE ("." TYPE)* ";" ["flags interval;" | "flags dynamic,timeout; timeout 1m;"] "}"
//! map    = "map" NAME "{ type" TYPE ("." TYPE)* ":" TYPE ("." TYPE)* ";" "}"
//! chain  = "chain" NAME "{" ["type" KIND "hook" HOOK "priority" NUMBER "; policy accept ;"] rule* "}"
//! rule   = (match)* action, one line
//! match  = field ("." field)* ["!="] ("@" SET | VALUE)
//! field  = iifname | oifname | ip saddr | ip daddr | ip6 saddr | ip6 daddr | meta l4proto | th dport | meta nfproto
//!        | ct state | ct status | fib daddr type
//! action = accept | drop | return | masquerade | "jump" CHAIN | "add @" SET "{" field ("." field)* "}"
//!        | "dnat" ("ip" | "ip6") "to" field ("." field)* "map @" MAP
//! ```
//!
//! Whatever lies outside this is refused with its line; nft(8) itself reads the same files, which the tests use to
//! judge this reader.

use std::{
    iter::Peekable,
    net::{Ipv4Addr, Ipv6Addr},
    str::SplitWhitespace,
};

use super::expression::Expression;
use crate::netlink::bits::nf;

/// A table with its sets and chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The table's name; its family is inet.
    pub table: String,
    /// Sets and maps, empty.
    pub sets: Vec<Set>,
    /// Chains with their rules.
    pub chains: Vec<Chain>,
}

/// A set, or with data a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Types of the key's parts.
    pub key: Vec<Type>,
    /// Types of the parts of what a map says.
    pub data: Option<Vec<Type>>,
    /// Whether its keys are intervals.
    pub interval: bool,
    /// How long a key stays that a rule adds, in milliseconds; only of sets that rules add to.
    pub timeout_ms: Option<u64>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where it hooks into the kernel; without, other chains jump to it.
    pub base: Option<Base>,
    /// Its rules in order.
    pub rules: Vec<Vec<Expression>>,
}

/// Where a chain hooks in. Its policy is accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `filter` or `nat`.
    pub kind: String,
    /// `NF_INET_*`.
    pub hook: u32,
    /// Lower runs earlier.
    pub priority: i32,
}

/// Type of a part of a key (`TYPE_*` of nft's `datatype.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// IPv4 address.
    Address,
    /// IPv6 address.
    Address6,
    /// `IPPROTO_*`, one byte.
    Protocol,
    /// Port.
    Service,
    /// Link name, sixteen bytes.
    LinkName,
}

impl Type {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "ipv4_addr" => Self::Address,
            "ipv6_addr" => Self::Address6,
            "inet_proto" => Self::Protocol,
            "inet_service" => Self::Service,
            "ifname" => Self::LinkName,
            _ => return None,
        })
    }

    /// Number under which nft(8) shows the type; parts take six bits each.
    #[must_use]
    pub fn number_of(parts: &[Self]) -> u32 {
        parts.iter().fold(0, |number, part| {
            number << 6
                | match part {
                    Self::Address => 7,
                    Self::Address6 => 8,
                    Self::Protocol => 12,
                    Self::Service => 13,
                    Self::LinkName => 41,
                }
        })
    }

    /// Bytes that a value of these parts takes: a part alone its own length, several each padded to four.
    #[must_use]
    pub fn len_of(parts: &[Self]) -> u32 {
        let len = |part: &Self| match part {
            Self::Address => 4,
            Self::Protocol => 1,
            Self::Service => 2,
            Self::Address6 | Self::LinkName => 16,
        };
        match parts {
            [one] => len(one),
            many => many.iter().map(|part| len(part).max(4)).sum(),
        }
    }
}

/// A rule file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule file, line {line}: cannot read {text:?}")]
pub struct Unreadable {
    /// 1-based.
    pub line: usize,
    /// The line, or the word.
    pub text: String,
}

impl Ruleset {
    /// Reads a rule file.
    ///
    /// # Errors
    /// [`Unreadable`] with the first line that is not understood.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut ruleset = Self { table: String::new(), sets: Vec::new(), chains: Vec::new() };
        let mut open: Option<Chain> = None;
        for (index, full) in text.lines().enumerate() {
            let line = full.split('#').next().unwrap_or_default().trim();
            let wrong = || Unreadable { line: index + 1, text: line.to_owned() };
            let words: Vec<&str> = line.split_whitespace().collect();
            match (words.as_slice(), &mut open) {
                ([], _) => {}
                (["table", "inet", name, "{"], None) => ruleset.table = (*name).to_owned(),
                (["set" | "map", name, "{", "type", types @ .., "}"], None) => {
                    ruleset.sets.push(set(name, types).ok_or_else(wrong)?);
                }
                (["chain", name, "{"], None) => {
                    open = Some(Chain { name: (*name).to_owned(), base: None, rules: Vec::new() });
                }
                (["}"], _) => ruleset.chains.extend(open.take()),
                (["type", rest @ ..], Some(chain)) => chain.base = Some(base(rest).ok_or_else(wrong)?),
                (_, Some(chain)) => chain.rules.push(rule(line).ok_or_else(wrong)?),
                _ => return Err(wrong()),
            }
        }
        Ok(ruleset)
    }
}

fn set(name: &str, words: &[&str]) -> Option<Set> {
    let (types, interval, timeout_ms) = match words {
        [types @ .., "flags", "interval;"] => (types, true, None),
        [types @ .., "flags", "dynamic,timeout;", "timeout", "1m;"] => (types, false, Some(60_000)),
        types => (types, false, None),
    };
    let (last, front) = types.split_last()?;
    let joined = [front, &[last.strip_suffix(';')?]].concat();
    let mut halves = joined.split(|word| *word == ":");
    let key = types_of(halves.next()?)?;
    let data = match halves.next() {
        Some(half) => Some(types_of(half)?),
        None => None,
    };
    halves.next().is_none().then(|| Set { name: name.to_owned(), key, data, interval, timeout_ms })
}

fn types_of(words: &[&str]) -> Option<Vec<Type>> {
    words.split(|word| *word == ".").map(|part| if let [one] = part { Type::named(one) } else { None }).collect()
}

fn base(words: &[&str]) -> Option<Base> {
    let [kind @ ("filter" | "nat"), "hook", hook, "priority", priority, "policy", "accept;"] = words else {
        return None;
    };
    let hook = match *hook {
        "prerouting" => nf::HOOK_PREROUTING,
        "input" => nf::HOOK_INPUT,
        "forward" => nf::HOOK_FORWARD,
        "output" => nf::HOOK_OUTPUT,
        "postrouting" => nf::HOOK_POSTROUTING,
        _ => return None,
    };
    Some(Base { kind: (*kind).to_owned(), hook, priority: priority.strip_suffix(';')?.parse().ok()? })
}

const FIELDS: &[&str] = &[
    "iifname",
    "oifname",
    "ip saddr",
    "ip daddr",
    "ip6 saddr",
    "ip6 daddr",
    "meta l4proto",
    "meta nfproto",
    "th dport",
    "ct state",
    "ct status",
    "fib daddr type",
];

type Words<'a> = Peekable<SplitWhitespace<'a>>;

fn rule(line: &str) -> Option<Vec<Expression>> {
    let mut words = line.split_whitespace().peekable();
    let mut rule = Vec::new();
    loop {
        let verdict = |code, chain| Expression::Verdict { code, chain };
        let action = match *words.peek()? {
            "accept" => verdict(nf::VERDICT_ACCEPT, None),
            "drop" => verdict(nf::VERDICT_DROP, None),
            "return" => verdict(nf::VERDICT_RETURN, None),
            "masquerade" => Expression::Masquerade,
            "jump" => {
                words.next();
                verdict(nf::VERDICT_JUMP, Some((*words.peek()?).to_owned()))
            }
            "dnat" => destination_nat(&mut words, &mut rule)?,
            "add" => addition(&mut words, &mut rule)?,
            _ => {
                matching(&mut words, &mut rule)?;
                continue;
            }
        };
        words.next();
        rule.push(action);
        return words.next().is_none().then_some(rule);
    }
}

/// `dnat ip to FIELDS map @NAME`: leaves the last word for the caller.
fn destination_nat(words: &mut Words<'_>, rule: &mut Vec<Expression>) -> Option<Expression> {
    words.next();
    // The map says an address, then a port.
    let (family, port) = match words.next()? {
        "ip" => (nf::PROTO_IPV4, 1),
        "ip6" => (nf::PROTO_IPV6, 4),
        _ => return None,
    };
    (words.next()? == "to").then_some(())?;
    fields(words, rule)?;
    (words.next()? == "map").then_some(())?;
    let set = words.peek()?.strip_prefix('@')?.to_owned();
    rule.push(Expression::Lookup { set, register: 0, inverted: false, to: Some(0) });
    Some(Expression::DestinationNat { family, address: 0, port })
}

/// `add @NAME { FIELDS }`: leaves the last word for the caller.
fn addition(words: &mut Words<'_>, rule: &mut Vec<Expression>) -> Option<Expression> {
    words.next();
    let set = words.next()?.strip_prefix('@')?.to_owned();
    (words.next()? == "{").then_some(())?;
    fields(words, rule)?;
    (*words.peek()? == "}").then_some(())?;
    Some(Expression::Add { set, register: 0 })
}

fn matching(words: &mut Words<'_>, rule: &mut Vec<Expression>) -> Option<()> {
    let last = fields(words, rule)?;
    let inverted = words.next_if_eq(&"!=").is_some();
    let word = words.next()?;
    if let Some(set) = word.strip_prefix('@') {
        rule.push(Expression::Lookup { set: set.to_owned(), register: 0, inverted, to: None });
        return Some(());
    }
    let compare = |equal, value: &[u8]| Expression::Compare { register: 0, equal, value: value.to_vec() };
    match last {
        "ct state" | "ct status" => {
            let mask = word.split(',').map(connection_bit).try_fold(0, |mask, bit| Some(mask | bit?))?;
            rule.push(Expression::Mask { register: 0, mask });
            rule.push(compare(inverted, &[0; 4]));
        }
        "ip saddr" | "ip daddr" => {
            // Only prefixes of whole bytes: then the comparison of fewer bytes needs no mask.
            let (address, prefix) = word.split_once('/').unwrap_or((word, "32"));
            let address: Ipv4Addr = address.parse().ok()?;
            let bits: u32 = prefix.parse().ok().filter(|bits| matches!(bits, 8 | 16 | 24 | 32))?;
            let len = bits / 8;
            if let Some(Expression::Payload { len: loaded, .. }) = rule.last_mut() {
                *loaded = len;
            }
            rule.push(compare(!inverted, &address.octets()[..len as usize]));
        }
        "ip6 saddr" | "ip6 daddr" => rule.push(compare(!inverted, &word.parse::<Ipv6Addr>().ok()?.octets())),
        "meta nfproto" => {
            let family = match word {
                "ipv4" => nf::PROTO_IPV4,
                "ipv6" => nf::PROTO_IPV6,
                _ => return None,
            };
            rule.push(compare(!inverted, &[family]));
        }
        "fib daddr type" => rule.push(compare(!inverted, &(word == "local").then_some(2u32)?.to_ne_bytes())),
        "iifname" | "oifname" => {
            let mut name = [0; 16];
            let text = word.trim_matches('"').as_bytes();
            name.get_mut(..text.len())?.copy_from_slice(text);
            rule.push(compare(!inverted, &name));
        }
        _ => return None,
    }
    Some(())
}

fn connection_bit(word: &str) -> Option<u32> {
    Some(match word {
        "established" => nf::CT_STATE_ESTABLISHED,
        "related" => nf::CT_STATE_RELATED,
        "dnat" => nf::CT_STATUS_DESTINATION_NAT,
        _ => return None,
    })
}

/// Loads fields joined by dots into registers from 0 on; names the last one.
fn fields(words: &mut Words<'_>, rule: &mut Vec<Expression>) -> Option<&'static str> {
    let mut register = 0;
    loop {
        let name = field(words)?;
        register += load(name, register, rule);
        if words.next_if_eq(&".").is_none() {
            return Some(name);
        }
    }
}

fn field(words: &mut Words<'_>) -> Option<&'static str> {
    let mut name = words.next()?.to_owned();
    while !FIELDS.contains(&name.as_str()) {
        FIELDS.iter().any(|field| field.starts_with(&name)).then_some(())?;
        name = format!("{name} {}", words.next()?);
    }
    FIELDS.iter().find(|field| **field == name).copied()
}

/// Loads a field and returns how many registers it takes.
fn load(name: &str, to: u32, rule: &mut Vec<Expression>) -> u32 {
    let (expression, registers) = match name {
        "iifname" => (Expression::Meta { key: nf::META_INPUT_NAME, to }, 4),
        "oifname" => (Expression::Meta { key: nf::META_OUTPUT_NAME, to }, 4),
        "meta l4proto" => (Expression::Meta { key: nf::META_L4_PROTOCOL, to }, 1),
        "meta nfproto" => (Expression::Meta { key: nf::META_PROTOCOL_FAMILY, to }, 1),
        "ct state" => (Expression::Connection { key: nf::CT_STATE, to }, 1),
        "ct status" => (Expression::Connection { key: nf::CT_STATUS, to }, 1),
        "fib daddr type" => (Expression::DestinationType { to }, 1),
        "th dport" => (Expression::Payload { base: nf::PAYLOAD_TRANSPORT, offset: 2, len: 2, to }, 1),
        address => {
            let (family, offset, len) = match address {
                "ip saddr" => (nf::PROTO_IPV4, 12, 4),
                "ip daddr" => (nf::PROTO_IPV4, 16, 4),
                "ip6 saddr" => (nf::PROTO_IPV6, 8, 16),
                _ => (nf::PROTO_IPV6, 24, 16),
            };
            // An inet table sees both families: an address asks for its family first, as nft(8) does.
            if to == 0 {
                let loaded = Expression::Meta { key: nf::META_PROTOCOL_FAMILY, to: 0 };
                rule.extend([loaded, Expression::Compare { register: 0, equal: true, value: vec![family] }]);
            }
            (Expression::Payload { base: nf::PAYLOAD_NETWORK, offset, len, to }, len / 4)
        }
    };
    rule.push(expression);
    registers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_s_rule_file_is_read() {
        let plain = Ruleset::parse(&crate::firewall::rules(false)).unwrap();
        let respecting = Ruleset::parse(&crate::firewall::rules(true)).unwrap();
        for ruleset in [&plain, &respecting] {
            assert_eq!(ruleset.table, "berth");
            assert!(ruleset.chains.iter().all(|chain| !chain.rules.is_empty()));
        }
        assert_eq!(respecting.chains.len(), plain.chains.len() + 3);
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (wrong, line) in [
            ("nonsense", 1),
            ("table ip berth {", 1),
            ("table inet t {\n set s { type nothing; }\n}", 2),
            ("table inet t {\n map m { type ifname : ifname : ifname; }\n}", 2),
            ("table inet t {\n chain c {\n accept now\n }\n}", 3),
            ("table inet t {\n chain c {\n ip daddr 10.0.0.0/9 drop\n }\n}", 3),
            ("table inet t {\n chain c {\n ip daddr 10.0.0.0/0 drop\n }\n}", 3),
            ("table inet t {\n chain c {\n iifname \"a-name-of-seventeen\" drop\n }\n}", 3),
            ("table inet t {\n chain c {\n type filter hook nowhere priority 0; policy accept;\n }\n}", 3),
            ("table inet t {\n chain c {\n dnat ip to th dport\n }\n}", 3),
            ("table inet t {\n chain c {\n jump\n }\n}", 3),
        ] {
            assert_eq!(Ruleset::parse(wrong).unwrap_err().line, line, "{wrong}");
        }
    }
}

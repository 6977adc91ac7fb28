//! Tables, chains, sets, rules and elements as requests.

use super::{
    expression::{self, Expression},
    template::{Chain, Ruleset, Set, Type},
};
use crate::netlink::{
    bits::{nf, nl},
    reply::{self, Malformed, Message},
    request::Request,
};

/// Elements per request: a list must stay below 64 KiB, and an element takes at most some 100 bytes.
const ELEMENTS_PER_REQUEST: usize = 400;

/// An element of a set, or with data of a map. The bytes are those of [`Set::key`] and [`Set::data`]: each part in
/// network order, padded with zeroes to four bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The key, or the first one of an interval.
    pub key: Vec<u8>,
    /// The last key of an interval, part by part.
    pub key_end: Option<Vec<u8>>,
    /// What a map says of it.
    pub data: Option<Vec<u8>>,
}

/// A note for nft(8), which the kernel only keeps: it shows link names backwards without it (libnftnl's
/// `NFTNL_UDATA_SET_KEYBYTEORDER`, four bytes, host order).
const KEY_IN_HOST_ORDER: [u8; 6] = {
    let [a, b, c, d] = 1u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};

/// struct nfgenmsg: family, version 0, resource 0.
const HEADER: [u8; 4] = [nf::PROTO_INET, 0, 0, 0];

/// Makes a table; one that is there is no error.
#[must_use]
pub fn add_table(table: &str) -> Request {
    let mut request = Request::new(nf::NEWTABLE, nl::CREATE, &HEADER);
    request.text(nf::TABLE_NAME, table);
    request
}

/// Removes a table with all that is in it.
#[must_use]
pub fn remove_table(table: &str) -> Request {
    let mut request = Request::new(nf::DELTABLE, 0, &HEADER);
    request.text(nf::TABLE_NAME, table);
    request
}

/// Asks for a table; the kernel refuses with `ENOENT` when it is absent.
#[must_use]
pub fn get_table(table: &str) -> Request {
    let mut request = Request::new(nf::GETTABLE, 0, &HEADER);
    request.text(nf::TABLE_NAME, table);
    request
}

/// Asks for all chains of all tables (a dump).
#[must_use]
pub fn list_chains() -> Request {
    Request::new(nf::GETCHAIN, 0, &[0; 4])
}

/// Asks for the rules of a gate's table (a dump).
#[must_use]
pub fn list_rules(gate: &Gate) -> Request {
    let mut request = Request::new(nf::GETRULE, 0, &[gate.family, 0, 0, 0]);
    request.text(nf::RULE_TABLE, &gate.table);
    request
}

/// Whether a rule says something of the link `name`.
#[must_use]
pub fn names_link(message: &Message<'_>, name: &str) -> bool {
    // Names are compared with as many bytes as a name may have, or with one zero at their end.
    let wanted = [name.as_bytes(), &[0]].concat();
    message.body.windows(wanted.len()).any(|bytes| bytes == wanted)
}

/// A chain that every forwarded packet must pass, and that lets none pass which no rule of its table knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    family: u8,
    table: String,
    /// The chain's name.
    pub chain: String,
}

impl Gate {
    /// The table with its family, as nft(8) writes it.
    #[must_use]
    pub fn table(&self) -> String {
        let family = if self.family == nf::PROTO_INET { "inet" } else { "ip" };
        format!("{family} {}", self.table)
    }

    /// Whether it is firewalld's: by policy it accepts, and its last rule rejects what is left.
    #[must_use]
    pub fn is_of_firewalld(&self) -> bool {
        self.table == "firewalld"
    }
}

/// The chain of `message` when it drops forwarded packets unless one of its rules accepts them; `None` for others.
///
/// # Errors
/// When the message is malformed.
pub fn dropping_forward(message: &Message<'_>) -> Result<Option<Gate>, Malformed> {
    let (head, body) = reply::split(message.body, HEADER.len(), "chain")?;
    let mut gate = Gate { family: head[0], table: String::new(), chain: String::new() };
    let (mut hook, mut policy) = (None, None);
    let number = |value: &[u8]| reply::u32_of(value, "chain's number").map(u32::from_be);
    for attribute in reply::attributes(body) {
        let (kind, value) = attribute?;
        match kind {
            nf::CHAIN_TABLE => gate.table = reply::text(value),
            nf::CHAIN_NAME => gate.chain = reply::text(value),
            nf::CHAIN_POLICY => policy = Some(number(value)?),
            nf::CHAIN_HOOK => hook = hook_number(value)?.map(u32::from_be),
            _ => {}
        }
    }
    let is_ours = matches!(gate.family, nf::PROTO_INET | nf::PROTO_IPV4);
    let rejects = gate.is_of_firewalld() && gate.chain == "filter_FORWARD";
    let drops = policy == Some(nf::VERDICT_DROP as u32) || rejects;
    Ok((is_ours && hook == Some(nf::HOOK_FORWARD) && drops).then_some(gate))
}

/// Whether a chain is one of ufw's.
///
/// # Errors
/// When the message is malformed.
pub fn is_of_ufw(message: &Message<'_>) -> Result<bool, Malformed> {
    let (_, body) = reply::split(message.body, HEADER.len(), "chain")?;
    for attribute in reply::attributes(body) {
        let (kind, value) = attribute?;
        if kind == nf::CHAIN_NAME {
            return Ok(reply::text(value).starts_with("ufw-"));
        }
    }
    Ok(false)
}

fn hook_number(hook: &[u8]) -> Result<Option<u32>, Malformed> {
    for attribute in reply::attributes(hook) {
        let (kind, value) = attribute?;
        if kind == nf::HOOK_NUMBER {
            return reply::u32_of(value, "hook").map(Some);
        }
    }
    Ok(None)
}

/// The requests that make all of `ruleset` anew, in place of what is there, in one transaction.
#[must_use]
pub fn replace(ruleset: &Ruleset) -> Vec<Request> {
    let table = &ruleset.table;
    // Adding first makes the removal succeed on an absent table.
    let mut requests = vec![add_table(table), remove_table(table), add_table(table)];
    requests.extend((1u32..).zip(&ruleset.sets).map(|(id, set)| add_set(table, set, id)));
    requests.extend(ruleset.chains.iter().map(|chain| add_chain(table, chain)));
    for chain in &ruleset.chains {
        requests.extend(chain.rules.iter().map(|rule| add_rule(table, &chain.name, rule)));
    }
    requests
}

fn add_set(table: &str, set: &Set, id: u32) -> Request {
    let mut request = Request::new(nf::NEWSET, nl::CREATE, &HEADER);
    request.text(nf::SET_TABLE, table).text(nf::SET_NAME, &set.name).number_be(nf::SET_ID, id);
    let mut flags = if set.data.is_some() { nf::SET_FLAG_MAP } else { 0 };
    if set.interval {
        flags |= nf::SET_FLAG_INTERVAL | nf::SET_FLAG_CONCATENATED;
        request.nest(nf::SET_DESCRIPTION, |description| {
            description.nest(nf::DESCRIPTION_FIELDS, |fields| {
                for part in &set.key {
                    fields.nest(nf::LIST_ELEMENT, |field| {
                        field.number_be(nf::FIELD_LEN, Type::len_of(&[*part]).max(4));
                    });
                }
            });
        });
    }
    if let Some(timeout_ms) = set.timeout_ms {
        flags |= nf::SET_FLAG_TIMEOUT | nf::SET_FLAG_DYNAMIC;
        request.put(nf::SET_TIMEOUT, &timeout_ms.to_be_bytes());
    }
    request.number_be(nf::SET_FLAGS, flags);
    if set.key == [Type::LinkName] {
        request.put(nf::SET_USER_DATA, &KEY_IN_HOST_ORDER);
    }
    request.number_be(nf::SET_KEY_TYPE, Type::number_of(&set.key));
    request.number_be(nf::SET_KEY_LEN, Type::len_of(&set.key));
    if let Some(data) = &set.data {
        request.number_be(nf::SET_DATA_TYPE, Type::number_of(data));
        request.number_be(nf::SET_DATA_LEN, Type::len_of(data));
    }
    request
}

fn add_chain(table: &str, chain: &Chain) -> Request {
    let mut request = Request::new(nf::NEWCHAIN, nl::CREATE, &HEADER);
    request.text(nf::CHAIN_TABLE, table).text(nf::CHAIN_NAME, &chain.name);
    if let Some(base) = &chain.base {
        request.text(nf::CHAIN_TYPE, &base.kind).nest(nf::CHAIN_HOOK, |hook| {
            hook.number_be(nf::HOOK_NUMBER, base.hook);
            hook.put(nf::HOOK_PRIORITY, &base.priority.to_be_bytes());
        });
        request.put(nf::CHAIN_POLICY, &nf::VERDICT_ACCEPT.to_be_bytes());
    }
    request
}

fn add_rule(table: &str, chain: &str, rule: &[Expression]) -> Request {
    let mut request = Request::new(nf::NEWRULE, nl::CREATE | nl::APPEND, &HEADER);
    request.text(nf::RULE_TABLE, table).text(nf::RULE_CHAIN, chain).nest(nf::RULE_EXPRESSIONS, |list| {
        for expression in rule {
            expression.encode(list);
        }
    });
    request
}

/// The requests that add `elements`; those that are there already are no error.
#[must_use]
pub fn add_elements(table: &str, set: &str, elements: &[Element]) -> Vec<Request> {
    element_requests(nf::NEWSETELEM, nl::CREATE, table, set, elements)
}

/// Removes every element of a set.
#[must_use]
pub fn empty(table: &str, set: &str) -> Request {
    let mut request = Request::new(nf::DELSETELEM, 0, &HEADER);
    request.text(nf::ELEMENTS_TABLE, table).text(nf::ELEMENTS_SET, set);
    request
}

/// The requests that remove `elements`. Adding first makes the removal of an absent one succeed.
#[must_use]
pub fn remove_elements(table: &str, set: &str, elements: &[Element]) -> Vec<Request> {
    let mut requests = add_elements(table, set, elements);
    requests.extend(element_requests(nf::DELSETELEM, 0, table, set, elements));
    requests
}

fn element_requests(kind: u16, flags: u16, table: &str, set: &str, elements: &[Element]) -> Vec<Request> {
    let make = |part: &[Element]| {
        let mut request = Request::new(kind, flags, &HEADER);
        request.text(nf::ELEMENTS_TABLE, table).text(nf::ELEMENTS_SET, set).nest(nf::ELEMENTS_LIST, |list| {
            for element in part {
                list.nest(nf::LIST_ELEMENT, |one| {
                    expression::value(one, nf::ELEMENT_KEY, &element.key);
                    if let Some(end) = &element.key_end {
                        expression::value(one, nf::ELEMENT_KEY_END, end);
                    }
                    if let Some(data) = &element.data {
                        expression::value(one, nf::ELEMENT_DATA, data);
                    }
                });
            }
        });
        request
    };
    elements.chunks(ELEMENTS_PER_REQUEST).map(make).collect()
}

/// Whether a notification tells of a change to `table` that none of the sockets `own` made.
#[must_use]
pub fn is_foreign_change(message: &Message<'_>, table: &str, own: &[u32]) -> bool {
    let about_table = || {
        // Every object names its table in attribute 1; so does the table itself.
        message.body.get(HEADER.len()..).is_some_and(|body| {
            reply::attributes(body)
                .map_while(Result::ok)
                .any(|(kind, value)| kind == nf::TABLE_NAME && reply::text(value) == table)
        })
    };
    (nf::NEWTABLE..nf::NEWGEN).contains(&message.kind)
        && message.body.first() == Some(&nf::PROTO_INET)
        && !own.contains(&message.port)
        && about_table()
}

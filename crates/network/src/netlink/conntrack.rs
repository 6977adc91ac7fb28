//! Connections that the kernel remembers (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! UDP has no end of a connection: as long as a client sends, the kernel keeps the path that the first datagram took,
//! whatever the rules say by now. So paths through a port must be forgotten when the port changes hands.

use std::net::IpAddr;

use super::{
    bits::ct,
    reply::{self, Malformed},
    request::Request,
    socket::{Refusal, Socket},
};

/// One remembered UDP flow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flow {
    /// The whole `CTA_TUPLE_ORIG`, by which the kernel finds it again.
    original: Vec<u8>,
    /// Where its first datagram went.
    destination: IpAddr,
    /// Who answers.
    answering: IpAddr,
}

/// Forgets the UDP flows to `host_port` that `target` answers, and those that no rule has led anywhere.
///
/// # Errors
/// The kernel's refusal, as from a kernel without connection tracking.
pub fn forget_udp(socket: &mut Socket, host_port: u16, target: IpAddr) -> Result<(), Refusal> {
    let mut flows = Vec::new();
    let family = if target.is_ipv4() { ct::HEADER } else { ct::HEADER6 };
    socket.dump(&list_request(family, host_port), |message| {
        let flow = parse(message, host_port)?;
        flows.extend(flow.filter(|flow| flow.answering == target || flow.answering == flow.destination));
        Ok(())
    })?;
    let requests: Vec<_> = flows.iter().map(|flow| remove_request(family, &flow.original)).collect();
    match socket.transact(requests) {
        // It ended by itself meanwhile.
        Err(refusal) if refusal.is(rustix::io::Errno::NOENT) => Ok(()),
        outcome => outcome,
    }
}

fn list_request(family: [u8; 4], host_port: u16) -> Request {
    let mut request = Request::new(ct::GET, 0, &family);
    request.nest(ct::TUPLE_ORIGINAL, |tuple| {
        tuple.nest(ct::TUPLE_PROTOCOL, |protocol| {
            protocol.put(ct::PROTOCOL_NUMBER, &[ct::UDP]).put(ct::DESTINATION_PORT, &host_port.to_be_bytes());
        });
    });
    request.nest(ct::FILTER, |filter| {
        filter.number(ct::FILTER_ORIGINAL, ct::BY_PROTOCOL | ct::BY_DESTINATION_PORT).number(ct::FILTER_REPLY, 0);
    });
    request
}

fn remove_request(family: [u8; 4], original: &[u8]) -> Request {
    let mut request = Request::new(ct::DELETE, 0, &family);
    request.nest(ct::TUPLE_ORIGINAL, |tuple| {
        tuple.raw(original);
    });
    request
}

/// The flow of a message; `None` when it is of another protocol or port (a kernel before 5.8 does not filter).
fn parse(message: &reply::Message<'_>, host_port: u16) -> Result<Option<Flow>, Malformed> {
    let (_, body) = reply::split(message.body, ct::HEADER.len(), "flow")?;
    let (mut original, mut answer) = (None, None);
    for attribute in reply::attributes(body) {
        match attribute? {
            (ct::TUPLE_ORIGINAL, value) => original = Some((value, tuple(value)?)),
            (ct::TUPLE_REPLY, value) => answer = Some(tuple(value)?),
            _ => {}
        }
    }
    let (Some((bytes, from)), Some(back)) = (original, answer) else { return Ok(None) };
    if from.protocol != Some(ct::UDP) || from.destination_port != Some(host_port) {
        return Ok(None);
    }
    let (Some(destination), Some(answering)) = (from.destination, back.source) else { return Ok(None) };
    Ok(Some(Flow { original: bytes.to_vec(), destination, answering }))
}

#[derive(Debug, Default)]
struct Tuple {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    protocol: Option<u8>,
    destination_port: Option<u16>,
}

fn tuple(value: &[u8]) -> Result<Tuple, Malformed> {
    let mut tuple = Tuple::default();
    for attribute in reply::attributes(value) {
        let (part, inside) = attribute?;
        for attribute in reply::attributes(inside) {
            let (kind, value) = attribute?;
            let address = || <[u8; 4]>::try_from(value).ok().map(IpAddr::from);
            let address6 = || <[u8; 16]>::try_from(value).ok().map(IpAddr::from);
            match (part, kind) {
                (ct::TUPLE_ADDRESSES, ct::SOURCE) => tuple.source = address(),
                (ct::TUPLE_ADDRESSES, ct::DESTINATION) => tuple.destination = address(),
                (ct::TUPLE_ADDRESSES, ct::SOURCE6) => tuple.source = address6(),
                (ct::TUPLE_ADDRESSES, ct::DESTINATION6) => tuple.destination = address6(),
                (ct::TUPLE_PROTOCOL, ct::PROTOCOL_NUMBER) => tuple.protocol = value.first().copied(),
                (ct::TUPLE_PROTOCOL, ct::DESTINATION_PORT) => {
                    tuple.destination_port = <[u8; 2]>::try_from(value).ok().map(u16::from_be_bytes);
                }
                _ => {}
            }
        }
    }
    Ok(tuple)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flow from 10.0.0.1:5000 to 10.0.0.2:53 that 172.17.0.2 answers, as the kernel tells it.
    fn body() -> Vec<u8> {
        let mut request = Request::new(0, 0, &ct::HEADER);
        for (kind, source, destination, port) in [
            (ct::TUPLE_ORIGINAL, [10, 0, 0, 1], [10, 0, 0, 2], 53u16),
            (ct::TUPLE_REPLY, [172, 17, 0, 2], [10, 0, 0, 1], 5000),
        ] {
            request.nest(kind, |tuple| {
                tuple.nest(ct::TUPLE_ADDRESSES, |ip| {
                    ip.put(ct::SOURCE, &source).put(ct::DESTINATION, &destination);
                });
                tuple.nest(ct::TUPLE_PROTOCOL, |protocol| {
                    protocol.put(ct::PROTOCOL_NUMBER, &[ct::UDP]).put(ct::DESTINATION_PORT, &port.to_be_bytes());
                });
            });
        }
        request.seal(0, 0)[16..].to_vec()
    }

    #[test]
    fn flows_are_read_and_every_cut_is_safe() {
        let body = body();
        let message = |body| reply::Message { kind: ct::GET, flags: 0, sequence: 0, port: 0, body };
        let flow = parse(&message(&body), 53).unwrap().unwrap();
        assert_eq!(
            (flow.destination.to_string(), flow.answering.to_string()),
            ("10.0.0.2".into(), "172.17.0.2".into())
        );
        assert_eq!(parse(&message(&body), 54).unwrap(), None);
        for end in 0..body.len() {
            let _ = parse(&message(&body[..end]), 53);
        }
    }
}

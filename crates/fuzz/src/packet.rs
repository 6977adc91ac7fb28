//! Packets: questions about names, the kernel's answers, a supervisor's frames.

use berth_dns::message::Query;
use berth_network::netlink::reply;
use berth_supervisor::protocol::{Framed, framed};

/// A question: no panic, and a name that is no longer than names are.
pub fn dns(input: &[u8]) {
    if let Ok(query) = Query::parse(input) {
        assert!(query.name.len() <= 255, "a name of {} bytes", query.name.len());
    }
}

/// Answers of the kernel: no panic, no length beyond the bytes, and an end.
pub fn netlink(input: &[u8]) {
    for message in reply::messages(input).map_while(Result::ok) {
        assert!(message.body.len() <= input.len());
        let _ = reply::acknowledgement(&message);
        // The headers that links, addresses, routes and tables have.
        for header_len in [0, 4, 8, 12, 16] {
            let Ok((_, rest)) = reply::split(message.body, header_len, "message") else { continue };
            for (_, value) in reply::attributes(rest).map_while(Result::ok) {
                let _ = (reply::text(value), reply::u32_of(value, "number"));
                assert!(reply::attributes(value).count() <= value.len() / 4 + 1);
            }
        }
    }
}

/// Bytes on a supervisor's socket: no panic, and never more taken than there is.
pub fn supervisor_frame(input: &[u8]) {
    let mut rest = input;
    for _ in 0..1000 {
        match framed(rest) {
            Framed::Whole(body) => {
                let end = body.end;
                let _ = serde_json::from_slice::<berth_supervisor::protocol::Request>(&rest[body]);
                rest = &rest[end..];
            }
            _ => return,
        }
    }
}

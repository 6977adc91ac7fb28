//! Port specifications as the API writes them: `80`, `80/tcp`, `8000-8010/udp`.

use std::ops::RangeInclusive;

use berth_spec::model::PortBinding;

use crate::{Error, Result};

/// A container port or range with its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Never empty.
    pub range: RangeInclusive<u16>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: &'static str,
}

/// Where on the host a port appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Empty: all addresses.
    pub ip: Option<std::net::IpAddr>,
    /// `None`: an ephemeral port.
    pub range: Option<RangeInclusive<u16>>,
}

/// Reads a container port.
pub fn parse(text: &str) -> Result<Port> {
    let refuse = |why: &str| Error::Invalid(format!("invalid port specification: \"{text}\": {why}"));
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => return Err(refuse("unknown protocol, use tcp, udp or sctp")),
    };
    let range = range(ports).filter(|range| *range.start() > 0).ok_or_else(|| refuse("not a port or range"))?;
    Ok(Port { range, protocol })
}

/// Reads a host binding.
pub fn parse_host(binding: &PortBinding) -> Result<HostPort> {
    let ip = match binding.host_ip.as_deref().unwrap_or("") {
        "" => None,
        text => Some(
            text.trim_start_matches('[')
                .trim_end_matches(']')
                .parse()
                .map_err(|_| Error::Invalid(format!("invalid IP address in port binding: {text}")))?,
        ),
    };
    let range = match binding.host_port.as_deref().unwrap_or("") {
        "" | "0" => None,
        text => Some(range(text).ok_or_else(|| Error::Invalid(format!("invalid hostPort: {text}")))?),
    };
    Ok(HostPort { ip, range })
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports() {
        assert_eq!(parse("80").unwrap(), Port { range: 80..=80, protocol: "tcp" });
        assert_eq!(parse("8000-8010/UDP").unwrap(), Port { range: 8000..=8010, protocol: "udp" });
        for bad in ["", "0", "x", "80/icmp", "90-80", "70000", "-1", "80-"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

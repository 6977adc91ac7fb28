//! `-p [ADDRESS:][HOSTPORT[-RANGE]:]PORT[-RANGE][/PROTOCOL]`, its long form, and `--expose`.

use super::csv;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// Exposed ports and bindings, as the API wants them.
#[derive(Debug, Default)]
pub struct Ports {
    /// `{"80/tcp":{}}`.
    pub exposed: Map<String, Value>,
    /// `{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}`.
    pub bindings: Map<String, Value>,
}

/// Reads all `-p` and `--expose`.
///
/// # Errors
/// Docker's text for the first bad one.
pub fn parse<'a>(
    published: impl Iterator<Item = &'a str>,
    exposed: impl Iterator<Item = &'a str>,
) -> Result<Ports, String> {
    let mut ports = Ports::default();
    for text in published {
        let plain = match text.contains('=') {
            true => short_form(text)?,
            false => text.to_owned(),
        };
        publish(&plain, &mut ports)?;
    }
    for text in exposed {
        expose(text, &mut ports)?;
    }
    Ok(ports)
}

/// `target=80,published=8080,protocol=tcp` as `8080:80/tcp`.
fn short_form(text: &str) -> Result<String, String> {
    let (mut target, mut published, mut protocol) = (String::new(), String::new(), "tcp".to_owned());
    for field in csv::fields(text)? {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field: {field}"))?;
        match key {
            "target" => target = value.to_owned(),
            "published" => published = value.to_owned(),
            "protocol" => protocol = value.to_ascii_lowercase(),
            "mode" if matches!(value, "ingress" | "host") => {}
            "mode" => return Err(format!("invalid publish mode value '{value}', must be either 'ingress' or 'host'")),
            _ => return Err(format!("invalid field key: {key}")),
        }
    }
    if target.is_empty() {
        return Err(format!("missing mandatory field '\"target\"' in {text:?}"));
    }
    match published.is_empty() {
        true => Ok(format!("{target}/{protocol}")),
        false => Ok(format!("{published}:{target}/{protocol}")),
    }
}

fn publish(text: &str, ports: &mut Ports) -> Result<(), String> {
    let parts: Vec<_> = text.split(':').collect();
    let (address, host, container) = match parts.as_slice() {
        [container] => (String::new(), "", *container),
        [host, container] => (String::new(), *host, *container),
        [address @ .., host, container] => (address.join(":"), *host, *container),
        [] => return Err(format!("no port specified: {text}<empty>")),
    };
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(&address);
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    let (number, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
    if number.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let (first, last) = range(number).ok_or_else(|| format!("invalid containerPort: {number}"))?;
    let hosts = match host {
        "" => None,
        _ => Some(range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?),
    };
    if let Some((low, high)) = hosts
        && high - low != last - first
        && first != last
    {
        return Err(format!("invalid ranges specified for container and host Ports: {number} and {host}"));
    }
    let lower = protocol.to_ascii_lowercase();
    if !matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    for step in 0..=last - first {
        let host_port = match hosts {
            None => String::new(),
            Some((low, high)) if low != high && first == last => format!("{low}-{high}"),
            Some((low, _)) => (low + step).to_string(),
        };
        let key = format!("{}/{lower}", first + step);
        ports.exposed.insert(key.clone(), json!({}));
        let list = ports.bindings.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({"HostIp": address, "HostPort": host_port}));
        }
    }
    Ok(())
}

fn expose(text: &str, ports: &mut Ports) -> Result<(), String> {
    if text.contains(':') {
        return Err(format!("invalid port format for --expose: {text}"));
    }
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let refuse = |why: &str| format!("invalid range format for --expose: {text}, error: {why}");
    let (first, last) =
        range(number).ok_or_else(|| refuse(&format!("strconv.ParseUint: parsing {number:?}: invalid syntax")))?;
    let lower = protocol.to_ascii_lowercase();
    if !matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    for port in first..=last {
        ports.exposed.entry(format!("{port}/{lower}")).or_insert_with(|| json!({}));
    }
    Ok(())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse::<u16>().ok(),
        false => None,
    };
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some((first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(text: &str) -> Result<String, String> {
        parse([text].into_iter(), [].into_iter()).map(|p| Value::from(p.bindings).to_string())
    }

    #[test]
    fn good() {
        for (text, json) in [
            ("80", r#"{"80/tcp":[{"HostIp":"","HostPort":""}]}"#),
            ("8080:80", r#"{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}"#),
            ("127.0.0.1::80/udp", r#"{"80/udp":[{"HostIp":"127.0.0.1","HostPort":""}]}"#),
            ("[::1]:8080:80", r#"{"80/tcp":[{"HostIp":"::1","HostPort":"8080"}]}"#),
            ("90-92:80", r#"{"80/tcp":[{"HostIp":"","HostPort":"90-92"}]}"#),
            ("90-91:80-81", r#"{"80/tcp":[{"HostIp":"","HostPort":"90"}],"81/tcp":[{"HostIp":"","HostPort":"91"}]}"#),
            ("target=80,published=8080", r#"{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}"#),
            ("80/SCTP", r#"{"80/sctp":[{"HostIp":"","HostPort":""}]}"#),
        ] {
            assert_eq!(bindings(text).as_deref(), Ok(json), "{text}");
        }
    }

    #[test]
    fn bad() {
        for (text, why) in [
            ("", "no port specified: <empty>"),
            ("8080:", "no port specified: 8080:<empty>"),
            ("x", "invalid containerPort: x"),
            ("70000", "invalid containerPort: 70000"),
            ("x:80", "invalid hostPort: x"),
            ("1:2:3:4", "invalid IP address: 1:2"),
            ("90-93:80-81", "invalid ranges specified for container and host Ports: 80-81 and 90-93"),
            ("80/foo", "invalid proto: foo"),
            ("82-80", "invalid containerPort: 82-80"),
            ("target=80,foo=1", "invalid field key: foo"),
            ("published=80", "missing mandatory field '\"target\"' in \"published=80\""),
        ] {
            assert_eq!(bindings(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn exposing() {
        let ports = parse([].into_iter(), ["80", "53/udp", "90-91"].into_iter()).unwrap();
        assert_eq!(ports.exposed.keys().collect::<Vec<_>>(), ["80/tcp", "53/udp", "90/tcp", "91/tcp"]);
        let bad = parse([].into_iter(), ["1:2"].into_iter()).unwrap_err();
        assert_eq!(bad, "invalid port format for --expose: 1:2");
    }
}

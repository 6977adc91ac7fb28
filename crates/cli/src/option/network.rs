//! `--network NAME` or `--network name=NAME,alias=A,ip=1.2.3.4,...`.

use super::csv;
use serde_json::{Map, Value, json};

/// One attachment.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Attachment {
    /// Network, or mode (`host`, `none`, `container:x`).
    pub target: String,
    /// Further names in the network's DNS.
    pub aliases: Vec<String>,
    /// Options of the driver.
    pub driver_options: Map<String, Value>,
    /// IPv4 address.
    pub ipv4: String,
    /// IPv6 address.
    pub ipv6: String,
    /// Link-local addresses.
    pub link_local: Vec<String>,
    /// Hardware address.
    pub mac: String,
    /// Links to other containers.
    pub links: Vec<String>,
    /// Priority as default gateway.
    pub gateway_priority: i64,
}

/// Judges one `--network`.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Reads one `--network`.
///
/// # Errors
/// Docker's text.
pub fn parse(text: &str) -> Result<Attachment, String> {
    let mut network = Attachment::default();
    if !is_long(text) {
        text.clone_into(&mut network.target);
        return Ok(network);
    }
    for field in csv::fields(text)? {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => value.clone_into(&mut network.target),
            "alias" => network.aliases.push(value.to_owned()),
            "ip" => value.clone_into(&mut network.ipv4),
            "ip6" => value.clone_into(&mut network.ipv6),
            "mac-address" => value.clone_into(&mut network.mac),
            "link-local-ip" => network.link_local.push(value.to_owned()),
            "driver-opt" => {
                let (name, value) = value.split_once('=').ok_or("invalid key value pair format in driver options")?;
                network.driver_options.insert(name.trim().to_ascii_lowercase(), value.trim().into());
            }
            "gw-priority" => {
                network.gateway_priority = value.parse().map_err(|_| {
                    format!("invalid gw-priority ({value}): strconv.Atoi: parsing {value:?}: invalid syntax")
                })?;
            }
            other => return Err(format!("invalid field key {other}")),
        }
    }
    match network.target.is_empty() {
        true => Err("network name/id is not specified".into()),
        false => Ok(network),
    }
}

/// Docker's test: the text is a list of fields when its beginning looks like `word=`.
fn is_long(text: &str) -> bool {
    let Some((key, _)) = text.split_once('=') else { return false };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !key.is_empty() && key.chars().all(word)
}

impl Attachment {
    /// Whether it joins another namespace instead of a network.
    #[must_use]
    pub fn is_mode(&self) -> bool {
        matches!(self.target.as_str(), "host" | "none") || self.target.starts_with("container:")
    }

    /// The JSON of `EndpointSettings`.
    #[must_use]
    pub fn endpoint(&self) -> Value {
        let mut settings = Map::new();
        if !(self.ipv4.is_empty() && self.ipv6.is_empty() && self.link_local.is_empty()) {
            let mut ipam = Map::new();
            for (key, value) in [("IPv4Address", &self.ipv4), ("IPv6Address", &self.ipv6)] {
                if !value.is_empty() {
                    ipam.insert(key.to_owned(), value.as_str().into());
                }
            }
            if !self.link_local.is_empty() {
                ipam.insert("LinkLocalIPs".to_owned(), json!(self.link_local));
            }
            settings.insert("IPAMConfig".to_owned(), ipam.into());
        }
        if !self.aliases.is_empty() {
            settings.insert("Aliases".to_owned(), json!(self.aliases));
        }
        if !self.links.is_empty() {
            settings.insert("Links".to_owned(), json!(self.links));
        }
        if !self.driver_options.is_empty() {
            settings.insert("DriverOpts".to_owned(), self.driver_options.clone().into());
        }
        if !self.mac.is_empty() {
            settings.insert("MacAddress".to_owned(), self.mac.as_str().into());
        }
        if self.gateway_priority != 0 {
            settings.insert("GwPriority".to_owned(), self.gateway_priority.into());
        }
        settings.into()
    }
}

/// Judges a hardware address.
#[must_use]
pub fn is_mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let parts: Vec<_> = text.split(separator).collect();
    parts.len() == 6 && parts.iter().all(|p| p.len() == 2 && u8::from_str_radix(p, 16).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        assert_eq!(parse("host").unwrap().target, "host");
        assert_eq!(parse("container:x").unwrap().target, "container:x");
        let long = parse("name=n,alias=a,alias=b,ip=1.2.3.4,driver-opt=x=y,gw-priority=5").unwrap();
        assert_eq!((long.target.as_str(), long.gateway_priority), ("n", 5));
        assert_eq!(
            long.endpoint().to_string(),
            r#"{"IPAMConfig":{"IPv4Address":"1.2.3.4"},"Aliases":["a","b"],"DriverOpts":{"x":"y"},"GwPriority":5}"#
        );
    }

    #[test]
    fn bad() {
        for (text, why) in [
            ("alias=x", "network name/id is not specified"),
            ("name=x,foo=1", "invalid field key foo"),
            ("name=x,foo", "invalid field foo"),
            ("name=x,driver-opt=y", "invalid key value pair format in driver options"),
        ] {
            assert_eq!(parse(text).unwrap_err(), why);
        }
        assert!(is_mac("92:d0:c6:0a:29:33") && !is_mac("x") && !is_mac("92:d0:c6:0a:29:3"));
    }
}

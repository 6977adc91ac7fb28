//! Proxies between this host and registries: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, and the daemon's own settings.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::Uri;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::origin::Origin;

/// Longest answer of a proxy to `CONNECT`, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Which proxies to use; empty texts for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` addresses.
    pub http: String,
    /// For `https` addresses.
    pub https: String,
    /// Hosts, domains, addresses and networks that are reached directly, separated by commas; `*` for all.
    pub none: String,
}

/// A proxy to go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    pub origin: Origin,
    /// `Proxy-Authorization`.
    pub authorization: Option<String>,
}

impl Proxies {
    /// From the variables of this process, in upper or lower case.
    #[must_use]
    pub fn from_environment() -> Self {
        let value = |name: &str| {
            let found = std::env::var(name.to_uppercase()).ok().filter(|value| !value.is_empty());
            found.or_else(|| std::env::var(name).ok()).unwrap_or_default()
        };
        Self { http: value("http_proxy"), https: value("https_proxy"), none: value("no_proxy") }
    }

    /// The proxy on the way to `origin`.
    pub(crate) fn towards(&self, origin: &Origin) -> Option<Proxy> {
        let address = if origin.is_tls { &self.https } else { &self.http };
        if address.is_empty() || self.is_direct(origin) {
            return None;
        }
        let whole = if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let uri: Uri = whole.parse().ok()?;
        let authority = uri.authority()?.as_str();
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let origin = Origin::new(uri.scheme_str() == Some("https"), host)?;
        let authorization = user.map(|user| format!("Basic {}", STANDARD.encode(unescape(user))));
        Some(Proxy { origin, authorization })
    }

    fn is_direct(&self, origin: &Origin) -> bool {
        let host = origin.bare_host();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        self.none.split(',').map(str::trim).filter(|rule| !rule.is_empty()).any(|rule| {
            let rule = rule.to_ascii_lowercase();
            if rule == "*" || rule == origin.authority() || rule == host {
                return true;
            }
            let (name, port) = rule.rsplit_once(':').unwrap_or((&rule, ""));
            let is_port = port.is_empty() || port.parse() == Ok(origin.port);
            match address {
                Some(address) => {
                    (is_port && name == host) || crate::policy::network_holds(&rule, address).unwrap_or(false)
                }
                None => {
                    let domain = name.trim_start_matches("*.").trim_start_matches('.');
                    is_port && !domain.is_empty() && (host == domain || host.ends_with(&format!(".{domain}")))
                }
            }
        })
    }
}

/// `%40` and its kind.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                found.push(byte);
                at += 3;
            }
            None => {
                found.push(bytes[at]);
                at += 1;
            }
        }
    }
    found
}

/// Asks a proxy for a tunnel to `target` (RFC 9110, 9.3.6).
pub async fn tunnel(socket: &mut TcpStream, proxy: &Proxy, target: &Origin) -> Result<(), String> {
    let place = format!("{}:{}", target.host, target.port);
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    let broken = |error: std::io::Error| format!("proxy {}: {error}", proxy.origin);
    socket.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == ANSWER_BYTES_MAX {
            return Err(format!("proxy {}: its answer is too long", proxy.origin));
        }
        answer.push(socket.read_u8().await.map_err(broken)?);
    }
    let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("proxy {}: {}", proxy.origin, line.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_directly() {
        let none = "plain.example, .corp.example,10.0.0.0/8,port.example:5000".to_owned();
        let proxies = Proxies { http: "proxy:3128".into(), https: "http://u%40x:p@proxy:3129".into(), none };
        let towards = |host: &str| proxies.towards(&Origin::new(true, host).unwrap());
        for direct in ["plain.example", "a.plain.example", "x.corp.example", "10.1.2.3:5000", "localhost:5000"] {
            assert_eq!(towards(direct), None, "{direct}");
        }
        assert_eq!(towards("port.example:5000"), None);
        let proxy = towards("port.example").unwrap();
        assert_eq!(proxy.origin.to_string(), "http://proxy:3129");
        assert_eq!(proxy.authorization.unwrap(), format!("Basic {}", STANDARD.encode("u@x:p")));
        assert!(towards("notplain.example").is_some());
        assert_eq!(proxies.towards(&Origin::new(false, "far.example").unwrap()).unwrap().origin.port, 3128);
        assert_eq!(Proxies { none: "*".into(), ..proxies }.towards(&Origin::new(true, "a.example").unwrap()), None);
    }
}

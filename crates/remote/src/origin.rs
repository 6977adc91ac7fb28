//! Scheme, host and port: who is spoken to, and who may hold credentials.

use hyper::Uri;

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub is_tls: bool,
    /// Lower case; IPv6 addresses in brackets.
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// Of an absolute URL with `http` or `https` and without user information.
    pub fn of(uri: &Uri) -> Option<Self> {
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Some(Self { is_tls, host: authority.host().to_ascii_lowercase(), port })
    }

    /// Of `host[:port]`.
    pub fn new(is_tls: bool, authority: &str) -> Option<Self> {
        let scheme = if is_tls { "https" } else { "http" };
        Self::of(&format!("{scheme}://{authority}/").parse().ok()?)
    }

    /// For the `Host` header and `certs.d`.
    pub fn authority(&self) -> String {
        if self.port == if self.is_tls { 443 } else { 80 } {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// As the resolver and TLS want it.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", if self.is_tls { "https" } else { "http" }, self.authority())
    }
}

//! The user's credentials for registries: config.json itself, or the helper programs that it names.

mod program;
mod store;

pub use store::{erase, find, keep};

use crate::call::Call;
use base64::Engine;
use berth_spec::Reference;
use serde_json::{Map, Value, json};

/// Docker's key of its default registry.
pub const DEFAULT_KEY: &str = "https://index.docker.io/v1/";
/// The user name of a secret that is a token.
const TOKEN: &str = "<token>";

/// Credentials of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// A token in place of both.
    pub identity_token: String,
}

impl Credential {
    fn json(&self, key: &str) -> Value {
        json!({
            "username": self.username,
            "password": self.password,
            "identitytoken": self.identity_token,
            "serveraddress": key,
        })
    }
}

/// The key in config.json of a registry as users write it: `https://host/path` becomes `host`.
#[must_use]
pub fn key(address: &str) -> String {
    let bare = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    match bare.split('/').next().unwrap_or_default() {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => DEFAULT_KEY.to_owned(),
        host => host.to_owned(),
    }
}

/// The `X-Registry-Auth` header for the registry `domain`, or an empty text.
#[must_use]
pub fn header(call: &Call, domain: &str) -> String {
    let key = key(domain);
    match find(&call.config, &key) {
        Ok(Some(found)) => base64::engine::general_purpose::URL_SAFE.encode(found.json(&key).to_string()),
        Ok(None) => String::new(),
        Err(failure) => {
            // As Docker does: what needs no credentials goes on.
            crate::complain!("WARNING: {}", failure.text);
            String::new()
        }
    }
}

/// The `X-Registry-Config` header for the registries of several references.
#[must_use]
pub fn headers(call: &Call, references: &[&Reference]) -> String {
    let mut all = Map::new();
    for reference in references {
        let key = key(reference.domain());
        if let Ok(Some(found)) = find(&call.config, &key) {
            all.insert(key.clone(), found.json(&key));
        }
    }
    base64::engine::general_purpose::URL_SAFE.encode(Value::Object(all).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (address, wanted) in [
            ("", DEFAULT_KEY),
            ("docker.io", DEFAULT_KEY),
            ("https://index.docker.io/v1/", DEFAULT_KEY),
            ("https://r.example:5000/v2/", "r.example:5000"),
            ("r.example", "r.example"),
        ] {
            assert_eq!(key(address), wanted);
        }
    }
}

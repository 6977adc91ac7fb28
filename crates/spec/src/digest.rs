//! Content digests: `algorithm:hex` (OCI image specification, descriptor.md, "Digests").

use serde::{Deserialize, Serialize};

/// A SHA-256 digest in its text form `sha256:<64 hex digits>`; always well formed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Why a digest was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid digest '{0}': expected sha256: and 64 hexadecimal digits")]
pub struct InvalidDigest(pub String);

impl Digest {
    /// Reads `sha256:<hex>`.
    ///
    /// # Errors
    /// [`InvalidDigest`] for another algorithm, length or alphabet.
    pub fn parse(text: &str) -> Result<Self, InvalidDigest> {
        match text.strip_prefix("sha256:") {
            Some(hex) if berth_kit::id::is_full(hex) => Ok(Self(text.to_owned())),
            _ => Err(InvalidDigest(text.to_owned())),
        }
    }

    /// The digest with these 32 bytes.
    #[must_use]
    pub fn from_sha256(bytes: &[u8; 32]) -> Self {
        Self(format!("sha256:{}", berth_kit::id::hex(bytes)))
    }

    /// The 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// `sha256:<hex>`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;
    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_sha256_is_a_digest() {
        let good = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(Digest::parse(&good).unwrap().hex(), "0f".repeat(32));
        for bad in ["", "sha256:", "sha256:0f", "sha512:00", &format!("sha256:{}", "0F".repeat(32)), "../../etc"] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }
}

//! Platforms: `os/architecture[/variant]` (OCI image specification, image-index.md).

use serde::{Deserialize, Serialize};

/// The machine an image is made for, in Go's names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a platform was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidPlatform {
    /// It has parts that are none.
    #[error("\"{0}\" is an invalid platform: use os/architecture[/variant]")]
    Malformed(String),
    /// One word that is neither.
    #[error("\"{0}\": unknown operating system or architecture: invalid argument")]
    Unknown(String),
}

impl Platform {
    /// The platform this binary runs on.
    #[must_use]
    pub fn host() -> Self {
        Self { os: "linux".to_owned(), architecture: go_architecture(std::env::consts::ARCH).to_owned(), variant: None }
    }

    /// The platform that an image's configuration names.
    #[must_use]
    pub fn of_config(config: &crate::image::ImageConfig) -> Self {
        Self { os: config.os.clone(), architecture: config.architecture.clone(), variant: config.variant.clone() }
    }

    /// Whether `other` is this platform, or a variant of it when this one names none.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let fits = self.os == other.os && self.architecture == other.architecture;
        fits && (self.variant.is_none() || other.variant.is_none() || self.variant == other.variant)
    }

    /// Reads `os/architecture[/variant]`, or `os` or an architecture alone.
    ///
    /// # Errors
    /// [`InvalidPlatform`] for empty or foreign parts.
    pub fn parse(text: &str) -> Result<Self, InvalidPlatform> {
        let refuse = || InvalidPlatform::Malformed(text.to_owned());
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let clean = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        if parts.len() > 3 || !parts.iter().all(clean) {
            return Err(refuse());
        }
        let host = Self::host();
        Ok(match parts[..] {
            ["linux"] => Self { os: "linux".to_owned(), ..host },
            [word] if !ARCHITECTURES.contains(&go_architecture(word)) => {
                return Err(InvalidPlatform::Unknown(text.to_owned()));
            }
            [architecture] => Self { architecture: go_architecture(architecture).to_owned(), ..host },
            [os, architecture] => {
                Self { os: os.to_owned(), architecture: go_architecture(architecture).to_owned(), variant: None }
            }
            [os, architecture, variant] => Self {
                os: os.to_owned(),
                architecture: go_architecture(architecture).to_owned(),
                variant: Some(variant.to_owned()),
            },
            _ => return Err(refuse()),
        })
    }
}

/// Architectures in Go's names (GOARCH).
const ARCHITECTURES: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm", "armhf", "armel",
];

/// Go's name of an architecture that the kernel or Rust calls otherwise.
fn go_architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" | "x86" => "386",
        other => other,
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_docker_forms() {
        assert_eq!(Platform::parse("linux/x86_64").unwrap().to_string(), "linux/amd64");
        assert_eq!(Platform::parse("linux/arm/v7").unwrap().to_string(), "linux/arm/v7");
        assert_eq!(Platform::parse("arm64").unwrap().architecture, "arm64");
        assert!(Platform::parse("foo").unwrap_err().to_string().contains("unknown operating system or architecture"));
        for bad in ["", "/", "linux//v7", "a/b/c/d", "linux/amd 64"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }
}

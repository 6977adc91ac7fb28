//! Image references: `[domain/]path[:tag][@digest]` (distribution reference grammar, with Docker's defaults).

use crate::digest::Digest;

/// The domain meant when none is written.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag meant when neither tag nor digest is written.
pub const DEFAULT_TAG: &str = "latest";
const OFFICIAL: &str = "library/";
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// A well-formed, normalised reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a reference was refused; the texts are Docker's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidReference {
    /// It does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// Upper case in the repository path.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    UpperCase(String),
    /// The repository name is too long.
    #[error("repository name must not be more than {NAME_MAX} characters")]
    TooLong,
    /// 64 hexadecimal digits would be read as an image id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
}

impl Reference {
    /// Reads a familiar or full reference; the tag is left out when it was.
    ///
    /// # Errors
    /// [`InvalidReference`] with Docker's text.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        if berth_kit::id::is_full(text) {
            return Err(InvalidReference::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(|_| InvalidReference::Format)?)),
            None => (text, None),
        };
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(InvalidReference::Format);
        }
        let (domain, path) = split_domain(name);
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(InvalidReference::UpperCase(path));
        }
        if !is_domain(&domain) || !path.split('/').all(is_component) {
            return Err(InvalidReference::Format);
        }
        if domain.len() + 1 + path.len() > NAME_MAX {
            return Err(InvalidReference::TooLong);
        }
        Ok(Self { domain, path, tag: tag.map(str::to_owned), digest })
    }

    /// The same reference with [`DEFAULT_TAG`] when it names neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository under `tag`, without digest.
    ///
    /// # Errors
    /// [`InvalidReference::Format`] when `tag` is none.
    pub fn with_tag(mut self, tag: &str) -> Result<Self, InvalidReference> {
        if !is_tag(tag) {
            return Err(InvalidReference::Format);
        }
        self.tag = Some(tag.to_owned());
        self.digest = None;
        Ok(self)
    }

    /// Registry host, with port where one is written.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Repository path on the registry: `library/debian`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, where written or defaulted.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository as users write it: `debian`, `berth/hello`, `localhost:5000/a/b`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return format!("{}/{}", self.domain, self.path);
        }
        match (self.path.strip_prefix(OFFICIAL), self.path.split_once('/')) {
            (Some(official), _) if !official.contains('/') => official.to_owned(),
            // Without its domain it would be read as a repository of another registry.
            (_, Some((first, _))) if looks_like_domain(first) => format!("{DEFAULT_DOMAIN}/{}", self.path),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as users write it.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.decorate(self.familiar_name())
    }

    fn decorate(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest.as_str());
        }
        text
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.decorate(format!("{}/{}", self.domain, self.path)))
    }
}

fn split_domain(name: &str) -> (String, String) {
    match name.split_once('/') {
        Some((first, rest)) if looks_like_domain(first) => {
            let domain = if first == "index.docker.io" { DEFAULT_DOMAIN } else { first };
            let official = domain == DEFAULT_DOMAIN && !rest.contains('/');
            (domain.to_owned(), if official { format!("{OFFICIAL}{rest}") } else { rest.to_owned() })
        }
        Some(_) => (DEFAULT_DOMAIN.to_owned(), name.to_owned()),
        None => (DEFAULT_DOMAIN.to_owned(), format!("{OFFICIAL}{name}")),
    }
}

/// Whether what stands before the first slash is a registry, not the first part of a path.
fn looks_like_domain(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let port_fits = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    if let Some(v6) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return port_fits && v6.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    port_fits && host.split('.').all(label)
}

/// Lower-case alphanumerics joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends_fit = bytes.first().is_some_and(|b| alphanumeric(*b)) && bytes.last().is_some_and(|b| alphanumeric(*b));
    ends_fit
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_defaults_apply() {
        for (text, full, familiar) in [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("berth/hello:1", "docker.io/berth/hello:1", "berth/hello:1"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest", "localhost:5000/a/b:latest"),
            ("index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
            ("docker.io/other.io/x", "docker.io/other.io/x:latest", "docker.io/other.io/x:latest"),
            ("docker.io/localhost/x", "docker.io/localhost/x:latest", "docker.io/localhost/x:latest"),
        ] {
            let reference = Reference::parse(text).unwrap().with_default_tag();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
        }
    }

    #[test]
    fn digests_and_tags_together() {
        let text = format!("a/b:t@sha256:{}", "0".repeat(64));
        assert_eq!(Reference::parse(&text).unwrap().familiar(), text);
    }

    #[test]
    fn hostile_references_are_refused() {
        let long = format!("{}/x", "a".repeat(300));
        for text in [
            "",
            ":",
            "a:",
            "a@",
            "a@sha256:12",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a//b",
            "/a",
            "a/",
            "../a",
            "a b",
            "A",
            "a/B:c",
            &long,
            &"0".repeat(64),
            "a:é",
            "http://a/b",
            "a:-x",
            &format!("a:{}", "t".repeat(129)),
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_round_trips(text in "\\PC{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                proptest::prop_assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference);
            }
        }
    }
}

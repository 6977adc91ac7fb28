//! Which images may come in: by digest only, or with a signature of a known key (`policy` in daemon.json).
//!
//! ```json
//! {"default": "allow",
//!  "rules": [{"repository": "registry.example/team/*", "require": "signature", "keys": ["/etc/berth/team.pub"]},
//!            {"repository": "docker.io/library/*", "require": "digest"}]}
//! ```
//!
//! The first rule whose pattern fits decides. Signatures are those of cosign: a payload that names the manifest's digest
//! ("simple signing"), signed with ECDSA on P-256, in the registry under the tag `sha256-<hex>.sig` or as a referrer of
//! the manifest.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use berth_remote::{Repository, Resolved};
use berth_spec::{Digest, Reference, image::Manifest};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;

use crate::{Error, Result};

/// Type of a signed payload in a signature's manifest.
const PAYLOAD_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Where the signature of a payload stands.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Longest payload in bytes, most signatures that are looked at, longest key file in bytes.
const PAYLOAD_BYTES_MAX: u64 = 64 * 1024;
const SIGNATURES_MAX: usize = 64;
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// Before the point of a P-256 key in its DER form (RFC 5480, 2).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What is required of images, by repository. Everything is allowed by default.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    rules: Vec<Rule>,
    default: Requirement,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: String,
    requirement: Requirement,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Requirement {
    #[default]
    Nothing,
    Refusal,
    Digest,
    /// Of one of these keys; the uncompressed points.
    Signature(Vec<Vec<u8>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    default: Option<String>,
    #[serde(default)]
    rules: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    repository: String,
    require: String,
    #[serde(default)]
    keys: Vec<String>,
}

impl Verification {
    /// Reads the `policy` of daemon.json, and the key files that it names.
    ///
    /// # Errors
    /// What is wrong with it, in words for the administrator.
    pub fn parse(value: &serde_json::Value) -> std::result::Result<Self, String> {
        let written: Written = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        let mut rules = Vec::new();
        for rule in written.rules {
            let keys = rule.keys.iter().map(|key| read_key(key)).collect::<std::result::Result<Vec<_>, _>>()?;
            let requirement =
                requirement(&rule.require, keys).map_err(|reason| format!("{}: {reason}", rule.repository))?;
            rules.push(Rule { pattern: rule.repository, requirement });
        }
        let default = written.default.map_or(Ok(Requirement::Nothing), |word| requirement(&word, Vec::new()))?;
        Ok(Self { rules, default })
    }

    fn of(&self, reference: &Reference) -> (&str, &Requirement) {
        let name = format!("{}/{}", reference.domain(), reference.path());
        let rule = self.rules.iter().find(|rule| fits(&rule.pattern, &name));
        rule.map_or(("default", &self.default), |rule| (&rule.pattern, &rule.requirement))
    }

    /// Whether the policy can be held against `reference` before anything is fetched.
    ///
    /// # Errors
    /// [`Error::Policy`].
    pub(crate) fn admits(&self, reference: &Reference) -> Result<()> {
        let (rule, requirement) = self.of(reference);
        match requirement {
            Requirement::Refusal => Err(refused(reference, format!("rule {rule:?} lets nothing in"))),
            Requirement::Digest if reference.digest().is_none() => {
                let name = reference.familiar_name();
                Err(refused(reference, format!("rule {rule:?} wants it by digest ({name}@sha256:…)")))
            }
            _ => Ok(()),
        }
    }

    /// Whether what the registry gave for `reference` may come in.
    ///
    /// # Errors
    /// [`Error::Policy`], and [`Error::Remote`] when signatures cannot be fetched.
    pub(crate) async fn check(
        &self,
        reference: &Reference,
        repository: &Repository,
        resolved: &Resolved,
    ) -> Result<()> {
        let (rule, Requirement::Signature(keys)) = self.of(reference) else { return Ok(()) };
        let mut reason = "there is none".to_owned();
        for digest in [&resolved.digest, &resolved.document.digest] {
            for (payload, signature) in signatures(repository, digest).await? {
                match verify(&payload, &signature, keys, digest) {
                    Ok(()) => return Ok(()),
                    Err(why) => reason = why.to_owned(),
                }
            }
        }
        let digest = &resolved.digest;
        Err(refused(reference, format!("rule {rule:?} wants a signature of a known key for {digest}, but {reason}")))
    }
}

fn refused(reference: &Reference, reason: String) -> Error {
    Error::Policy { reference: reference.familiar(), reason }
}

fn requirement(word: &str, keys: Vec<Vec<u8>>) -> std::result::Result<Requirement, String> {
    match word {
        "allow" | "nothing" => Ok(Requirement::Nothing),
        "refuse" => Ok(Requirement::Refusal),
        "digest" => Ok(Requirement::Digest),
        "signature" if keys.is_empty() => Err("a signature is required, but there is no key".to_owned()),
        "signature" => Ok(Requirement::Signature(keys)),
        other => Err(format!("{other:?} is none of allow, refuse, digest, signature")),
    }
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A P-256 key: PEM itself, or a file with it.
fn read_key(key: &str) -> std::result::Result<Vec<u8>, String> {
    let text = if key.contains("-----BEGIN") {
        key.to_owned()
    } else {
        let size = std::fs::metadata(key).map_err(|error| format!("key {key}: {error}"))?.len();
        if size > KEY_BYTES_MAX {
            return Err(format!("key {key}: more than {KEY_BYTES_MAX} bytes"));
        }
        std::fs::read_to_string(Path::new(key)).map_err(|error| format!("key {key}: {error}"))?
    };
    let wrong = || format!("key {}: no public key on P-256 in PEM", key.lines().next().unwrap_or_default());
    let body: String = text
        .lines()
        .skip_while(|line| line.trim() != "-----BEGIN PUBLIC KEY-----")
        .skip(1)
        .take_while(|line| line.trim() != "-----END PUBLIC KEY-----")
        .flat_map(|line| line.trim().chars())
        .collect();
    let der = STANDARD.decode(body).map_err(|_| wrong())?;
    let point = der.strip_prefix(&P256_HEAD).filter(|point| point.len() == 65 && point[0] == 4);
    point.map(<[u8]>::to_vec).ok_or_else(wrong)
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

/// Whether one of the keys signed that payload, and for that digest.
fn verify(payload: &[u8], signature: &str, keys: &[Vec<u8>], digest: &Digest) -> std::result::Result<(), &'static str> {
    let signature = STANDARD.decode(signature.trim()).map_err(|_| "a signature is no base64")?;
    let is_signed =
        keys.iter().any(|key| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(payload, &signature).is_ok());
    if !is_signed {
        return Err("no known key made the signatures that are there");
    }
    let said: Payload = serde_json::from_slice(payload).map_err(|_| "a signed payload cannot be read")?;
    if said.critical.kind != "cosign container image signature" || said.critical.image.digest != *digest {
        return Err("the signature is for another image");
    }
    Ok(())
}

/// The payloads and signatures that a registry has for a manifest.
async fn signatures(repository: &Repository, digest: &Digest) -> Result<Vec<(Vec<u8>, String)>> {
    let mut targets = vec![format!("sha256-{}.sig", digest.hex())];
    targets.extend(repository.referrers(digest).await?.iter().map(Digest::to_string));
    let mut found = Vec::new();
    for target in targets.iter().take(SIGNATURES_MAX) {
        let document = match repository.manifest(target).await {
            Ok(document) => document,
            Err(berth_remote::Error::ManifestUnknown { .. } | berth_remote::Error::Denied { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        // What is no manifest of blobs is no signature.
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&document.bytes) else { continue };
        for layer in manifest.layers.iter().filter(|layer| layer.media_type == PAYLOAD_TYPE) {
            let signature = layer.annotations.as_ref().and_then(|annotations| annotations.get(SIGNATURE));
            if let Some(signature) =
                signature.filter(|_| layer.size <= PAYLOAD_BYTES_MAX && found.len() < SIGNATURES_MAX)
            {
                found.push((repository.small(layer).await?.to_vec(), signature.clone()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
    };
    use serde_json::json;

    use super::*;

    fn pair() -> (EcdsaKeyPair, String) {
        let random = SystemRandom::new();
        let secret = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, secret.as_ref(), &random).unwrap();
        let der = [&P256_HEAD[..], pair.public_key().as_ref()].concat();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        (pair, pem)
    }

    fn digest(hex: char) -> Digest {
        Digest::parse(&format!("sha256:{}", hex.to_string().repeat(64))).unwrap()
    }

    #[test]
    fn patterns() {
        for (pattern, name, wanted) in [
            ("docker.io/library/*", "docker.io/library/debian", true),
            ("docker.io/library/*", "docker.io/other/debian", false),
            ("r.example/a", "r.example/a", true),
            ("r.example/a", "r.example/ab", false),
            ("*", "x/y", true),
            ("*/team/*-prod", "r.example/team/web-prod", true),
            ("*/team/*-prod", "r.example/team/web", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn rules_are_read_and_the_first_decides() {
        let (_, pem) = pair();
        let value = json!({"default": "refuse", "rules": [
            {"repository": "docker.io/library/*", "require": "digest"},
            {"repository": "r.example/*", "require": "signature", "keys": [pem]},
        ]});
        let policy = Verification::parse(&value).unwrap();
        let admits = |name: &str| policy.admits(&Reference::parse(name).unwrap());
        assert!(admits("debian:12").unwrap_err().to_string().contains("by digest"));
        assert!(admits(&format!("debian@{}", digest('a'))).is_ok());
        assert!(admits("r.example/a:1").is_ok());
        assert!(admits("else.example/a:1").unwrap_err().to_string().contains("lets nothing in"));
        for wrong in [
            json!({"default": "maybe"}),
            json!({"rules": [{"repository": "x", "require": "signature"}]}),
            json!({"rules": [{"repository": "x", "require": "signature", "keys": ["/nonexistent"]}]}),
            json!({"rules": [{"repository": "x", "require": "signature", "keys": ["-----BEGIN PUBLIC KEY-----\nAAAA"]}]}),
            json!({"surprise": 1}),
        ] {
            assert!(Verification::parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_known_keys_signature_for_this_very_digest_counts() {
        let ((pair, pem), (stranger, _)) = (pair(), pair());
        let keys = vec![read_key(&pem).unwrap()];
        let payload = |digest: &Digest| {
            json!({"critical": {"identity": {"docker-reference": "r.example/a"},
                "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature"},
                "optional": null})
            .to_string()
        };
        let sign = |pair: &EcdsaKeyPair, text: &str| {
            STANDARD.encode(pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap())
        };
        let text = payload(&digest('a'));
        verify(text.as_bytes(), &sign(&pair, &text), &keys, &digest('a')).unwrap();
        assert!(verify(text.as_bytes(), &sign(&pair, &text), &keys, &digest('b')).is_err());
        assert!(verify(text.as_bytes(), &sign(&stranger, &text), &keys, &digest('a')).is_err());
        assert!(verify(payload(&digest('b')).as_bytes(), &sign(&pair, &text), &keys, &digest('b')).is_err());
        assert!(verify(text.as_bytes(), "?", &keys, &digest('a')).is_err());
    }
}

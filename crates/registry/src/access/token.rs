//! Tokens: JSON Web Tokens signed with ES256 (RFC 7515, RFC 7519, RFC 7518 section 3.4), of the shape that Docker's
//! token specification gives them ("Token Authentication Implementation").

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};

use super::role::Actions;
use crate::{Error, Result, ledger::now};

/// How long a token holds, in seconds.
pub const LIFE_S: i64 = 300;
/// Clocks may differ by this much, in seconds.
const SKEW_S: i64 = 30;
/// Longest token that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The only header that is issued and taken.
const HEADER: &str = r#"{"typ":"JWT","alg":"ES256"}"#;

/// Issues and verifies tokens with one key.
#[derive(Debug)]
pub struct Issuer {
    key: EcdsaKeyPair,
    service: String,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    /// Account; empty for anybody.
    pub sub: String,
    aud: String,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    /// What it is for.
    pub access: Vec<Access>,
}

/// A resource and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which.
    pub name: String,
    /// Words.
    pub actions: Vec<String>,
}

impl Access {
    /// Its words as a set; unknown ones are left out.
    #[must_use]
    pub fn set(&self) -> Actions {
        self.actions.iter().filter_map(|word| Actions::parse(word).ok()).fold(Actions::default(), Actions::or)
    }
}

impl Issuer {
    /// Reads the key from the file `path`, or makes both.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Setting`] when the file holds no key.
    pub fn open(path: &Path, service: &str) -> Result<Self> {
        let random = SystemRandom::new();
        let wrong = |reason: String| Error::Setting { name: path.display().to_string(), reason };
        if !path.exists() {
            let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
            let key = key.map_err(|_| wrong("no key can be made".to_owned()))?;
            // Whole or absent: two processes that begin at once end with one key.
            let fresh = path.with_extension(format!("new-{}", std::process::id()));
            let write = || {
                let mut file =
                    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
                file.write_all(key.as_ref())?;
                file.sync_all()?;
                match fs::hard_link(&fresh, path) {
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                    _ => fs::remove_file(&fresh),
                }
            };
            write().map_err(Error::file("write", path))?;
        }
        let bytes = fs::read(path).map_err(Error::file("read", path))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes, &random)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self { key, service: service.to_owned() })
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`Error::Setting`] when the kernel gives no random bytes.
    pub fn issue(&self, account: &str, access: Vec<Access>) -> Result<String> {
        let time = now();
        let claims = Claims {
            iss: self.service.clone(),
            sub: account.to_owned(),
            aud: self.service.clone(),
            exp: time + LIFE_S,
            nbf: time - SKEW_S,
            iat: time,
            jti: berth_kit::id::generate(),
            access,
        };
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| Error::Setting { name: "token".to_owned(), reason: "it cannot be signed".to_owned() })?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token of this issuer that holds now.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        key.verify(signed.as_bytes(), &signature).ok()?;
        let (header, claims) = signed.split_once('.')?;
        if URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let time = now();
        let holds = claims.iss == self.service && claims.aud == self.service && claims.nbf <= time && time < claims.exp;
        holds.then_some(claims)
    }
}

/// Reads a scope: `repository:name:pull,push` (names may have colons where a host is part of them).
#[must_use]
pub fn scope(text: &str) -> Option<Access> {
    let (kind, rest) = text.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    // `repository(plugin)` is Docker's way to say what kind of repository.
    let kind = kind.split('(').next().unwrap_or(kind);
    let actions = actions.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    (!name.is_empty()).then(|| Access { kind: kind.to_owned(), name: name.to_owned(), actions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_for_their_issuer_only() {
        let dir = tempfile::tempdir().unwrap();
        let issuer = Issuer::open(&dir.path().join("key"), "me").unwrap();
        let access = vec![scope("repository:a/b:pull,push").unwrap()];
        let token = issuer.issue("anna", access.clone()).unwrap();
        let claims = issuer.verify(&token).unwrap();
        assert_eq!((claims.sub.as_str(), &claims.access), ("anna", &access));
        let again = Issuer::open(&dir.path().join("key"), "me").unwrap();
        assert!(again.verify(&token).is_some(), "the key outlives the process");
        assert!(Issuer::open(&dir.path().join("key"), "other").unwrap().verify(&token).is_none());
        assert!(Issuer::open(&dir.path().join("second"), "me").unwrap().verify(&token).is_none());
    }

    #[test]
    fn forged_tokens_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let issuer = Issuer::open(&dir.path().join("key"), "me").unwrap();
        let token = issuer.issue("anna", Vec::new()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        let root = URL_SAFE_NO_PAD.encode(claims.replace("anna", "root"));
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        for forged in [
            String::new(),
            "..".to_owned(),
            format!("{}.{root}.{}", parts[0], parts[2]),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{token}AA"),
            "a".repeat(20_000),
        ] {
            assert_eq!(issuer.verify(&forged), None, "{forged:.60}");
        }
        let expired =
            URL_SAFE_NO_PAD.encode(r#"{"iss":"me","sub":"","aud":"me","exp":1,"nbf":0,"iat":0,"jti":"","access":[]}"#);
        let signed = format!("{}.{expired}", parts[0]);
        let signature = issuer.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        assert_eq!(issuer.verify(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))), None);
    }

    #[test]
    fn scopes_are_read() {
        let access = scope("repository(plugin):host:5000/a/b:pull").unwrap();
        assert_eq!((access.kind.as_str(), access.name.as_str()), ("repository", "host:5000/a/b"));
        assert_eq!(scope("registry:catalog:*").unwrap().set(), Actions::ALL);
        for text in ["", "repository", "repository:x", "repository::pull"] {
            assert!(scope(text).is_none(), "{text}");
        }
    }
}

//! Files of the web: downloaded once, and again only when the server has another one.

use std::{io::Write, os::unix::fs::PermissionsExt};

use berth_kit::time::Timestamp;
use berth_record::Durability;
use berth_remote::{WebAnswer, WebRequest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Asker, Fetched};
use crate::{Error, Result, checksum, usage};

/// The kind of the records: from an address to what was found there.
const TABLE: &str = "build-web";
/// Version of the records.
const VERSION: u32 = 1;
/// Name of a file whose address has none.
const NAMELESS: &str = "download";

/// What was found at an address.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct About {
    key: String,
    name: String,
    /// SHA-256 of the bytes, in hexadecimal digits.
    digest: String,
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Asker<'_> {
    /// Brings a file. `wanted` is the digest that it must have, `sha256:…`: one that is here needs no asking.
    pub async fn web(&self, address: &str, wanted: Option<&str>) -> Result<Fetched> {
        let wanted = wanted.map(digest_of).transpose()?;
        let name = checksum::hex(&checksum::of_bytes(address.as_bytes()));
        let _turn = self.shared.remotes.turn(&name).await;
        let known: Option<About> = self.shared.store.get(TABLE, &name)?;
        let here = known.filter(|about| self.shared.remotes.hold(&about.key).is_some());
        if let Some(about) = here.as_ref().filter(|about| wanted.as_ref() == Some(&about.digest)) {
            return self.taken(about, address);
        }
        let mut request = WebRequest { address: address.to_owned(), ..WebRequest::default() };
        request.authorization = self.authorization(address).await?;
        if let Some(about) = &here {
            (request.etag, request.last_modified) = (about.etag.clone(), about.last_modified.clone());
        }
        let failed = |error: berth_remote::Error| Error::Remote {
            act: "download",
            what: address.to_owned(),
            reason: error.to_string(),
        };
        let answer = self.shared.images.remote().web(&request, self.policy).await.map_err(failed)?;
        let about = match here.filter(|_| answer.is_unchanged) {
            Some(about) => about,
            None => {
                let about = self.download(answer, address).await?;
                self.shared.store.put(TABLE, &name, &VERSION, &about, Durability::Crash)?;
                about
            }
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != about.digest) {
            let text = format!("digest mismatch for {address}: sha256:{}, expected: sha256:{wanted}", about.digest);
            return Err(Error::Invalid(text));
        }
        self.taken(&about, address)
    }

    fn taken(&self, about: &About, address: &str) -> Result<Fetched> {
        let (path, guard) = self.shared.remotes.hold(&about.key).ok_or(Error::Cancelled)?;
        self.note(&about.key, address, usage::WEB)?;
        Ok(Fetched { path, file: Some(about.name.clone()), identity: about.digest.clone(), commit: None, guard })
    }

    async fn authorization(&self, address: &str) -> Result<Option<String>> {
        let host = address.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        let secret = self.client.secret(&format!("HTTP_AUTH_HEADER_{host}")).await.map_err(Error::Invalid)?;
        if let Some(bytes) = secret {
            return Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()));
        }
        let secret = self.client.secret(&format!("HTTP_AUTH_TOKEN_{host}")).await.map_err(Error::Invalid)?;
        Ok(secret.map(|bytes| format!("Bearer {}", String::from_utf8_lossy(&bytes).trim())))
    }

    async fn download(&self, mut answer: WebAnswer, address: &str) -> Result<About> {
        let text = |name: &str| answer.header(name).map(str::to_owned);
        let (etag, last_modified) = (text("etag"), text("last-modified"));
        let name = file_name(answer.header("content-disposition"), address);
        let draft = self.shared.remotes.draft()?;
        let path = draft.0.join(&name);
        let mut file = std::fs::File::create_new(&path).map_err(Error::file("create", &path))?;
        let mut hash = Sha256::new();
        let broken = |reason: String| Error::Remote { act: "download", what: address.to_owned(), reason };
        let (length, mut got) = (answer.length(), 0);
        while let Some(piece) = answer.next().await.map_err(|error| broken(error.to_string()))? {
            got += piece.len() as u64;
            hash.update(&piece);
            // A piece is small; what blocks is the disk.
            file.write_all(&piece).map_err(Error::file("write", &path))?;
        }
        if length.is_some_and(|length| length != got) {
            return Err(broken(format!("the connection ended after {got} bytes of {}", length.unwrap_or(0))));
        }
        let at = last_modified.as_deref().and_then(modified).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
        file.set_modified(time).map_err(Error::file("date", &path))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(Error::file("chmod", &path))?;
        let digest = checksum::hex(&hash.finalize().into());
        let identity = format!("{digest} {name} {}", at.as_second());
        let key = format!("web-{}", checksum::hex(&checksum::of_bytes(identity.as_bytes())));
        self.shared.remotes.keep(draft, &key)?;
        Ok(About { key, name, digest, etag, last_modified })
    }
}

/// `sha256:…` without its name.
fn digest_of(text: &str) -> Result<String> {
    let wrong = || Error::Invalid(format!("invalid checksum {text:?}: use sha256:<64 hexadecimal digits>"));
    let hex = text.strip_prefix("sha256:").ok_or_else(wrong)?;
    match hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(hex.to_ascii_lowercase()),
        false => Err(wrong()),
    }
}

/// What a download is called: by its server, or by the last part of its address.
fn file_name(disposition: Option<&str>, address: &str) -> String {
    let told = disposition.and_then(|text| {
        let (_, name) = text.split_once("filename=")?;
        Some(name.split(';').next()?.trim().trim_matches('"').to_owned())
    });
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let own = path.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    let last = own.and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
    let fits = |name: &String| {
        let name = name.as_str();
        !name.is_empty() && name != "." && name != ".." && name.len() <= 255 && !name.contains(['/', '\0'])
    };
    told.filter(fits).or(Some(last)).filter(fits).unwrap_or_else(|| NAMELESS.to_owned())
}

/// `Last-Modified` (RFC 9110, 5.6.7).
fn modified(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_server_or_address() {
        assert_eq!(file_name(None, "https://a.test/x/y.tar.gz?z=1#f"), "y.tar.gz");
        assert_eq!(file_name(Some("attachment; filename=\"b.txt\""), "https://a.test/x"), "b.txt");
        assert_eq!(file_name(Some("attachment; filename=../../etc/passwd"), "https://a.test/x"), "x");
        assert_eq!(file_name(None, "https://a.test/"), NAMELESS);
        assert_eq!(file_name(None, "https://a.test"), NAMELESS);
        assert_eq!(file_name(Some("filename=.."), "https://a.test/.."), NAMELESS);
    }

    #[test]
    fn dates_are_those_of_servers() {
        let at = modified("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        assert_eq!(at.as_second(), 784_111_777);
        assert_eq!(modified("yesterday"), None);
    }
}

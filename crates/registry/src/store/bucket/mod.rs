//! Blobs as objects of a bucket.
//!
//! ```text
//! <prefix>blobs/<algorithm>/<first two digits>/<digits>   a blob; whole, since an object appears at once
//! <prefix>quarantine/<algorithm>-<digits>                 what a scrub found broken
//! <prefix>ledger.db                                       a copy of the ledger, for a new machine
//! ```
//!
//! Uploads are gathered on the local disk, which makes them resumable, and go to the bucket when they are whole: small
//! ones at once, others in parts. Names live in the local ledger; the bucket has a copy that is made after changes.

pub mod request;
pub mod sign;
pub mod xml;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Method, Response, StatusCode, body::Incoming, header};
use tokio::sync::mpsc;

use crate::{
    Error, Result,
    digest::{Algorithm, Digest, Hasher},
    ledger::{Ledger, list},
    serve::payload::Payload,
    settings,
};
use request::{Ask, Body, Server, text};
use sign::{Signer, encode};

/// Sent whole up to this size, and the size of a part above.
const PART_BYTES: u64 = 16 << 20;
/// Parts of an upload at most; S3 allows 10,000.
const PARTS_MAX: u64 = 9000;
/// Pieces between the bucket and the client.
const AHEAD: usize = 4;

/// A bucket.
#[derive(Debug)]
pub struct Bucket {
    server: Server,
    name: String,
    prefix: String,
    copied: Mutex<Option<SystemTime>>,
}

impl Bucket {
    /// The bucket of the settings. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn open(settings: &settings::Bucket) -> Result<Self> {
        let signer = Signer {
            access_key: settings.access_key.clone(),
            secret_key: settings.secret_key.clone(),
            region: settings.region.clone(),
        };
        let server = Server::new(&settings.endpoint, signer)?;
        let (name, prefix) = (settings.name.clone(), settings.prefix.clone());
        Ok(Self { server, name, prefix, copied: Mutex::default() })
    }

    fn key(&self, digest: &Digest) -> String {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        format!("{}blobs/{algorithm}/{}/{hex}", self.prefix, &hex[..2])
    }

    fn ask<'a>(&self, method: Method, key: &str) -> Ask<'a> {
        let path = format!("/{}/{key}", self.name);
        Ask { method, path, query: Vec::new(), headers: Vec::new(), body: Body::Bytes(Bytes::new()) }
    }

    async fn get(&self, key: &str, range: Option<(u64, u64)>) -> Result<Option<Response<Incoming>>> {
        let mut ask = self.ask(Method::GET, key);
        ask.headers.extend(range.map(|(first, length)| ("range", format!("bytes={first}-{}", first + length - 1))));
        let response = self.server.ask(&ask).await?;
        Ok((response.status() != StatusCode::NOT_FOUND).then_some(response))
    }

    /// A part of a blob, as it comes from the bucket.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Bucket`].
    pub async fn read(&self, digest: &Digest, first: u64, length: u64) -> Result<Payload> {
        let response = self.get(&self.key(digest), Some((first, length))).await?;
        let mut body = response.ok_or_else(|| Error::Missing(digest.clone()))?.into_body();
        let (sender, pieces) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            while let Some(frame) = body.frame().await {
                let piece = match frame {
                    Ok(frame) => match frame.into_data() {
                        Ok(piece) => Ok(piece),
                        Err(_) => continue,
                    },
                    Err(error) => Err(std::io::Error::other(error)),
                };
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        Ok(Payload::Stream { pieces, left: length })
    }

    /// Sends a file to the bucket and removes it here.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Bucket`].
    pub async fn take(&self, path: &Path, digest: &Digest) -> Result<()> {
        self.put(path, &self.key(digest)).await?;
        std::fs::remove_file(path).map_err(Error::file("remove", path))
    }

    async fn put(&self, path: &Path, key: &str) -> Result<()> {
        let size = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
        if size > PART_BYTES {
            return self.put_parts(path, key, size).await;
        }
        let body = Body::File(path, 0, size);
        self.done("put", self.server.ask(&Ask { body, ..self.ask(Method::PUT, key) }).await?, key).await.map(drop)
    }

    async fn put_parts(&self, path: &Path, key: &str, size: u64) -> Result<()> {
        let begin = Ask { query: vec![("uploads", String::new())], ..self.ask(Method::POST, key) };
        let answer = self.done("begin", self.server.ask(&begin).await?, key).await?;
        let id = xml::first(&answer, "UploadId").map(xml::decode);
        let id = id.ok_or_else(|| bucket_error("begin", key, "there is no UploadId in the answer"))?;
        let outcome = self.send_parts(path, key, size, &id).await;
        if outcome.is_err() {
            let abort = Ask { query: vec![("uploadId", id)], ..self.ask(Method::DELETE, key) };
            // The bucket's own rules end what stays.
            let _ = self.server.ask(&abort).await;
        }
        outcome
    }

    async fn send_parts(&self, path: &Path, key: &str, size: u64, id: &str) -> Result<()> {
        let part_bytes = PART_BYTES.max(size.div_ceil(PARTS_MAX));
        let mut list = String::from("<CompleteMultipartUpload>");
        for (index, offset) in (0..size).step_by(usize::try_from(part_bytes).unwrap_or(usize::MAX)).enumerate() {
            let number = index + 1;
            let query = vec![("partNumber", number.to_string()), ("uploadId", id.to_owned())];
            let body = Body::File(path, offset, part_bytes.min(size - offset));
            let response = self.server.ask(&Ask { query, body, ..self.ask(Method::PUT, key) }).await?;
            let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
            let tag = tag.ok_or_else(|| bucket_error("put a part of", key, "there is no ETag in the answer"))?;
            self.done("put a part of", response, key).await?;
            list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
        }
        list += "</CompleteMultipartUpload>";
        let query = vec![("uploadId", id.to_owned())];
        let end = Ask { query, body: Body::Bytes(list.into()), ..self.ask(Method::POST, key) };
        let answer = self.done("complete", self.server.ask(&end).await?, key).await?;
        // This answer may be 200 and an error all the same.
        match xml::first(&answer, "Code") {
            Some(code) => Err(bucket_error("complete", key, code)),
            None => Ok(()),
        }
    }

    async fn done(&self, act: &'static str, response: Response<Incoming>, key: &str) -> Result<String> {
        if response.status() == StatusCode::NOT_FOUND {
            return Err(bucket_error(act, key, "there is no such bucket or object"));
        }
        text(response).await.map_err(|reason| bucket_error(act, key, &reason))
    }

    /// Removes a blob; an absent one is no error.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn remove(&self, digest: &Digest) -> Result<()> {
        let key = self.key(digest);
        let response = self.server.ask(&self.ask(Method::DELETE, &key)).await?;
        text(response).await.map(drop).map_err(|reason| bucket_error("remove", &key, &reason))
    }

    /// Copies a broken blob aside, within the bucket, and removes it.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn quarantine(&self, digest: &Digest) -> Result<()> {
        let aside = format!("{}quarantine/{}", self.prefix, digest.as_str().replace(':', "-"));
        let source = encode(&format!("/{}/{}", self.name, self.key(digest)), true);
        let copy = Ask { headers: vec![("x-amz-copy-source", source)], ..self.ask(Method::PUT, &aside) };
        let response = self.server.ask(&copy).await?;
        if response.status() != StatusCode::NOT_FOUND {
            self.done("put aside", response, &aside).await?;
        }
        self.remove(digest).await
    }

    /// Computes the digest of what is stored.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn hash(&self, digest: &Digest) -> Result<Option<Digest>> {
        let key = self.key(digest);
        let Some(response) = self.get(&key, None).await? else { return Ok(None) };
        let mut body = response.into_body();
        let mut hasher = Hasher::new(digest.algorithm());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| bucket_error("read", &key, &error.to_string()))?;
            if let Ok(piece) = frame.into_data() {
                hasher.update(&piece);
            }
        }
        Ok(Some(hasher.finish()))
    }

    /// Digests of all blobs that were stored more than `age_seconds` ago.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn list(&self, age_seconds: u64) -> Result<Vec<Digest>> {
        let root = format!("{}blobs/", self.prefix);
        let latest = SystemTime::now().checked_sub(Duration::from_secs(age_seconds)).unwrap_or(SystemTime::UNIX_EPOCH);
        let (mut found, mut token) = (Vec::new(), None::<String>);
        loop {
            let mut ask = self.ask(Method::GET, "");
            ask.query.extend(token.map(|token| ("continuation-token", token)));
            ask.query.extend([("list-type", "2".to_owned()), ("prefix", root.clone())]);
            let page = self.done("list", self.server.ask(&ask).await?, &root).await?;
            for entry in xml::all(&page, "Contents") {
                let time = xml::first(entry, "LastModified").and_then(|time| time.parse::<jiff::Timestamp>().ok());
                let is_old = time.is_none_or(|time| SystemTime::from(time) <= latest);
                let digest = xml::first(entry, "Key").and_then(|key| digest_of(&xml::decode(key), &root));
                found.extend(digest.filter(|_| is_old));
            }
            token = xml::first(&page, "NextContinuationToken").map(xml::decode);
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Fetches the copy of the ledger when there is none at `path`.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::File`].
    pub async fn restore(&self, path: &Path) -> Result<()> {
        let key = format!("{}ledger.db", self.prefix);
        if path.exists() {
            return Ok(());
        }
        let Some(response) = self.get(&key, None).await? else { return Ok(()) };
        let fresh = path.with_extension("new");
        let mut file = std::fs::File::create(&fresh).map_err(Error::file("create", &fresh))?;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| bucket_error("read", &key, &error.to_string()))?;
            if let Ok(piece) = frame.into_data() {
                std::io::Write::write_all(&mut file, &piece).map_err(Error::file("write", &fresh))?;
            }
        }
        file.sync_all().map_err(Error::file("sync", &fresh))?;
        tracing::info!(key, "the ledger was restored from the bucket");
        std::fs::rename(&fresh, path).map_err(Error::file("rename to", path))
    }

    /// Copies the ledger into the bucket when it has changed.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::File`], [`Error::Ledger`].
    pub async fn backup(&self, ledger: &Ledger, root: &Path) -> Result<()> {
        let changed = ["ledger.db", "ledger.db-wal"]
            .iter()
            .filter_map(|name| std::fs::metadata(root.join(name)).ok()?.modified().ok())
            .max();
        if changed == *self.copied.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(());
        }
        // A ledger with nothing in it must not replace one that a machine lost.
        if ledger.read("count", list::sums)? == list::Sums::default() {
            return Ok(());
        }
        let copy = root.join("ledger.copy");
        let _ = std::fs::remove_file(&copy);
        ledger.copy_to(&copy)?;
        self.put(&copy, &format!("{}ledger.db", self.prefix)).await?;
        *self.copied.lock().unwrap_or_else(PoisonError::into_inner) = changed;
        std::fs::remove_file(&copy).map_err(Error::file("remove", &copy))
    }
}

fn bucket_error(act: &'static str, key: &str, reason: &str) -> Error {
    Error::Bucket { act, key: key.to_owned(), reason: reason.to_owned() }
}

fn digest_of(key: &str, root: &str) -> Option<Digest> {
    let mut parts = key.strip_prefix(root)?.split('/');
    let (algorithm, _, hex) = (parts.next()?, parts.next()?, parts.next()?);
    Digest::parse(&format!("{}:{hex}", Algorithm::parse(algorithm)?.as_str())).ok()
}

//! Blobs and manifests on their way to a registry (OCI distribution specification, "Push").
//!
//! ```text
//! there already? ─► mounted from a neighbour? ─► one PUT ──broken──► where did it stop? ─► PATCH by PATCH ─► PUT
//! ```

use std::{fs::File, sync::Arc, time::Duration};

use berth_spec::{Digest, image::Descriptor};
use bytes::Bytes;
use hyper::{Method, Response, StatusCode, body::Incoming, header};
use sha2::{Digest as _, Sha256};

use crate::{
    Error, Repository, Result, answer,
    payload::{Source, Told},
    repository::Way,
    request::{Wanted, location},
};

/// Bytes in a chunk once one request for all of it has failed.
const CHUNK_BYTES: u64 = 16 << 20;
/// Interruptions of one upload that are got over, and the wait after the first.
const BREAKS_MAX: u32 = 5;
const BREAK_WAIT: Duration = Duration::from_millis(300);

/// How a blob came to be on the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// It was there.
    Existed,
    /// It was in this repository of the same registry.
    Mounted(String),
    /// It was sent.
    Sent,
}

/// What is sent of a blob.
#[derive(Clone)]
pub enum Contents {
    /// In memory.
    Bytes(Bytes),
    /// A whole file.
    File(Arc<File>),
}

impl Contents {
    fn part(&self, from: u64, length: u64, told: Option<&Told>) -> Source {
        match self {
            Self::Bytes(bytes) => {
                let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                Source::Bytes(bytes.slice(at(from)..at(from + length)))
            }
            Self::File(file) => Source::File { file: Arc::clone(file), from, length, told: told.cloned() },
        }
    }
}

impl Repository {
    /// Whether the registry has the blob in this repository.
    ///
    /// # Errors
    /// [`Error::PushDenied`], [`Error::Denied`], and those of the connection.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let way = self.home().await?;
        let wanted = Wanted::new(Method::HEAD, format!("blobs/{digest}"), &self.familiar);
        match self.call(way, &wanted).await {
            Ok(_) => Ok(true),
            Err(Error::Status { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sees to it that the registry has a blob: finds it there, mounts it from the first of `neighbours` that has it,
    /// or sends it. `told` gets the number of bytes sent so far.
    ///
    /// # Errors
    /// [`Error::PushDenied`], [`Error::Upload`], and those of the connection.
    pub async fn upload(
        &self,
        blob: &Descriptor,
        contents: &Contents,
        neighbours: &[String],
        told: Option<Told>,
    ) -> Result<Uploaded> {
        if self.has_blob(&blob.digest).await? {
            return Ok(Uploaded::Existed);
        }
        let way = self.home().await?;
        let mut begun = None;
        for neighbour in neighbours {
            begun = self.mount(way, blob, neighbour).await?;
            if begun.is_none() {
                return Ok(Uploaded::Mounted(neighbour.clone()));
            }
        }
        let place = match begun {
            Some(place) => place,
            None => self.begin(way, blob).await?,
        };
        self.send(way, blob, contents, place, told.as_ref()).await.map(|()| Uploaded::Sent)
    }

    /// Mounts a blob from another repository of the registry; `false` when that is not granted.
    ///
    /// # Errors
    /// As [`Repository::upload`].
    pub async fn mount_blob(&self, blob: &Descriptor, neighbour: &str) -> Result<bool> {
        let way = self.home().await?;
        match self.mount(way, blob, neighbour).await? {
            None => Ok(true),
            Some(place) => {
                let wanted = Wanted::new(Method::DELETE, place, &self.familiar);
                // A registry that keeps the upload forgets it by itself.
                let _ = self.ask(way, &wanted).await;
                Ok(false)
            }
        }
    }

    /// Mounts a blob; where that is not granted, gives the place of the upload that was begun instead.
    async fn mount(&self, way: &Way, blob: &Descriptor, neighbour: &str) -> Result<Option<String>> {
        let query = serde_urlencoded::to_string([("mount", blob.digest.as_str()), ("from", neighbour)]);
        let path = format!("blobs/uploads/?{}", query.unwrap_or_default());
        let wanted = Wanted::new(Method::POST, path, &self.familiar).with(header::CONTENT_LENGTH, "0");
        match self.call(way, &wanted).await {
            Ok(response) if response.status() == StatusCode::CREATED => Ok(None),
            Ok(response) => self.place(way, blob, &response).map(Some),
            // Some registries answer a mount they do not grant with an error.
            Err(error @ (Error::Unreachable { .. } | Error::TooManyRequests { .. })) => Err(error),
            Err(_) => self.begin(way, blob).await.map(Some),
        }
    }

    async fn begin(&self, way: &Way, blob: &Descriptor) -> Result<String> {
        let wanted = Wanted::new(Method::POST, "blobs/uploads/", &self.familiar).with(header::CONTENT_LENGTH, "0");
        let response = self.call(way, &wanted).await?;
        self.place(way, blob, &response)
    }

    fn place(&self, way: &Way, blob: &Descriptor, response: &Response<Incoming>) -> Result<String> {
        let nowhere = || self.failed(way, blob, "the registry says not where to send it".to_owned());
        location(response, &way.endpoint.origin).ok_or_else(nowhere)
    }

    fn failed(&self, way: &Way, blob: &Descriptor, reason: String) -> Error {
        Error::Upload { digest: blob.digest.clone(), registry: way.endpoint.origin.to_string(), reason }
    }

    async fn send(
        &self,
        way: &Way,
        blob: &Descriptor,
        contents: &Contents,
        mut place: String,
        told: Option<&Told>,
    ) -> Result<()> {
        let whole = contents.part(0, blob.size, told);
        let mut reason = match self.put(way, blob, &place, whole).await {
            Ok(()) => return Ok(()),
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => error.to_string(),
        };
        for breaks in 1..=BREAKS_MAX {
            tracing::debug!(blob = %blob.digest, reason, "an upload broke; it goes on where the registry has it");
            tokio::time::sleep(BREAK_WAIT * breaks).await;
            match self.go_on(way, blob, contents, &mut place, told).await {
                Ok(()) => return Ok(()),
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(self.failed(way, blob, reason))
    }

    /// Sends what the registry does not have, in chunks, and closes the upload.
    async fn go_on(
        &self,
        way: &Way,
        blob: &Descriptor,
        contents: &Contents,
        place: &mut String,
        told: Option<&Told>,
    ) -> Result<()> {
        let mut from = match self.received(way, place).await {
            Some((at, from)) if from <= blob.size => {
                *place = at;
                from
            }
            _ => {
                // The close may have come through, and its answer not.
                if self.has_blob(&blob.digest).await? {
                    return Ok(());
                }
                *place = self.begin(way, blob).await?;
                0
            }
        };
        while from < blob.size {
            let length = CHUNK_BYTES.min(blob.size - from);
            let wanted = Wanted::new(Method::PATCH, place.clone(), &self.familiar)
                .with(header::CONTENT_TYPE, "application/octet-stream")
                .with(header::CONTENT_RANGE, &format!("{from}-{}", from + length - 1))
                .carrying(contents.part(from, length, told));
            let response = self.call(way, &wanted).await?;
            *place = self.place(way, blob, &response)?;
            from += length;
        }
        self.put(way, blob, place, Source::Empty).await
    }

    /// Where an upload is continued, and how many bytes the registry has of it.
    async fn received(&self, way: &Way, place: &str) -> Option<(String, u64)> {
        let response = self.call(way, &Wanted::new(Method::GET, place, &self.familiar)).await.ok()?;
        let range = response.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
        // `0-0` is said of nothing and of one byte; one byte more is no loss.
        let last: u64 = range.and_then(|range| range.rsplit('-').next()?.parse().ok()).unwrap_or(0);
        let from = if last == 0 { 0 } else { last + 1 };
        Some((location(&response, &way.endpoint.origin).unwrap_or_else(|| place.to_owned()), from))
    }

    async fn put(&self, way: &Way, blob: &Descriptor, place: &str, source: Source) -> Result<()> {
        let joint = if place.contains('?') { '&' } else { '?' };
        let query = serde_urlencoded::to_string([("digest", blob.digest.as_str())]).unwrap_or_default();
        let mut wanted = Wanted::new(Method::PUT, format!("{place}{joint}{query}"), &self.familiar)
            .with(header::CONTENT_TYPE, "application/octet-stream");
        if matches!(source, Source::Empty) {
            wanted = wanted.with(header::CONTENT_LENGTH, "0");
        }
        self.call(way, &wanted.carrying(source)).await.map(drop)
    }

    /// Stores a manifest or index under a tag or its digest and gives the digest.
    ///
    /// # Errors
    /// [`Error::PushDenied`], [`Error::Status`], and those of the connection.
    pub async fn put_manifest(&self, target: &str, media_type: &str, bytes: Bytes) -> Result<Digest> {
        let way = self.home().await?;
        let digest = Digest::from_sha256(&Sha256::digest(&bytes).into());
        let wanted = Wanted::new(Method::PUT, format!("manifests/{target}"), &self.familiar)
            .with(header::CONTENT_TYPE, media_type)
            .carrying(Source::Bytes(bytes));
        let response = self.call(way, &wanted).await?;
        let told = response.headers().get("docker-content-digest").and_then(|told| told.to_str().ok());
        if let Some(told) = told.filter(|told| *told != digest.as_str()) {
            let reason = format!("the registry stored another manifest: {}", told.escape_debug());
            return Err(Error::Manifest { reference: format!("{}:{target}", self.familiar), reason });
        }
        let _ = answer::text(response, 64 * 1024).await;
        Ok(digest)
    }

    /// Whether a manifest is in the repository.
    ///
    /// # Errors
    /// Those of the connection and of credentials.
    pub async fn has_manifest(&self, digest: &Digest, media_type: &str) -> Result<bool> {
        let way = self.home().await?;
        let wanted =
            Wanted::new(Method::HEAD, format!("manifests/{digest}"), &self.familiar).with(header::ACCEPT, media_type);
        match self.call(way, &wanted).await {
            Ok(_) => Ok(true),
            Err(Error::ManifestUnknown { .. } | Error::Status { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The first way where somebody answers.
    pub(crate) async fn home(&self) -> Result<&Way> {
        let mut last = self.no_way();
        let ways = self.ways(|_| true);
        if let [only] = ways[..] {
            return Ok(only);
        }
        for way in ways {
            let url = format!("{}{}/", way.endpoint.origin, way.endpoint.root);
            let outcome = self.ask(way, &Wanted::get(url, "*/*", &self.familiar)).await;
            match outcome {
                Err(error) if error.is_unreachable() => {
                    way.bury();
                    last = error;
                }
                // Whether it lets this user in shows with the first real question.
                _ => {
                    self.ways.iter().filter(|other| !std::ptr::eq(*other, way)).for_each(Way::bury);
                    return Ok(way);
                }
            }
        }
        Err(last)
    }
}

/// Whether trying again is of no use.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => false,
        // A registry that takes no upload in one request may take it in chunks.
        Error::Status { status, .. } => matches!(status, 413 | 507),
        _ => true,
    }
}

//! `image copy`: from registry to registry, all platforms, byte by byte the same, without unpacking anything.
//!
//! ```text
//! manifest or index ─► its children first ─► blobs: there already? ─► mounted ─► fetched and sent ─► manifest
//! ```

use std::{collections::HashSet, sync::Arc};

use berth_remote::{Contents, Credentials, Document, Policy, Repository, Uploaded};
use berth_spec::{
    Digest, Reference,
    image::{Descriptor, Index, Manifest},
    progress::Progress,
};

use crate::{Error, Images, Result, collect::Build, push::say, stream::ProgressSender};

/// Deepest index in an index, and most manifests of one copy.
const INDEX_DEPTH_MAX: u32 = 3;
const MANIFESTS_MAX: usize = 512;

/// What to copy, and where to.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// With tag or digest.
    pub source: Reference,
    /// With tag; without one, what is copied keeps only its digest.
    pub target: Reference,
    /// For the source's registry.
    pub source_credentials: Option<Credentials>,
    /// For the target's registry.
    pub target_credentials: Option<Credentials>,
    /// The daemon's settings.
    pub policy: Policy,
}

struct Copying<'c> {
    images: &'c Images,
    source: Arc<Repository>,
    target: Repository,
    /// Where blobs may be mounted from, when both are on one registry.
    neighbours: Vec<String>,
    seen: HashSet<Digest>,
    progress: Option<&'c ProgressSender>,
}

impl Images {
    /// Copies an image with all its platforms from one registry to another; gives the digest of what was copied.
    ///
    /// # Errors
    /// [`Error::Remote`], [`Error::Policy`], [`Error::Archive`] for an index that is nested too deeply.
    pub async fn copy(&self, wanted: CopyRequest, progress: Option<ProgressSender>) -> Result<Digest> {
        let Some(lines) = progress else { return self.copy_whole(&wanted, None).await };
        tokio::select! {
            outcome = self.copy_whole(&wanted, Some(&lines)) => outcome,
            () = lines.closed() => Err(Error::Interrupted(wanted.source.familiar())),
        }
    }

    async fn copy_whole(&self, wanted: &CopyRequest, progress: Option<&ProgressSender>) -> Result<Digest> {
        let (from, to) = (&wanted.source, &wanted.target);
        let remote = &self.shared.remote;
        let source = Arc::new(remote.repository(from, &wanted.policy, wanted.source_credentials.clone())?);
        let is_near = from.domain() == to.domain();
        let neighbours = if is_near && from.path() != to.path() { vec![from.path().to_owned()] } else { Vec::new() };
        let target = remote.writable(to, &wanted.policy, wanted.target_credentials.clone())?;
        let target = target.with_sources(neighbours.clone());
        let named = from.digest().map_or(from.tag().unwrap_or_default(), Digest::as_str);
        let document = source.manifest(named).await?;
        // What passes through is not collected before it has gone out, and is afterwards.
        let build = Build::begin(&self.shared);
        let mut copying = Copying { images: self, source, target, neighbours, seen: HashSet::new(), progress };
        let outcome = copying.manifest(&document, to.tag(), INDEX_DEPTH_MAX).await;
        build.tidy();
        outcome?;
        let name = to.familiar();
        say(progress, Progress::status(format!("{name}: digest: {} size: {}", document.digest, document.bytes.len())))
            .await;
        Ok(document.digest)
    }
}

impl Copying<'_> {
    /// Copies what a manifest or an index names, then itself.
    async fn manifest(&mut self, document: &Document, tag: Option<&str>, depth: u32) -> Result<()> {
        if depth == 0 || self.seen.len() > MANIFESTS_MAX {
            return Err(Error::archive("its indexes are nested too deeply, or there are too many manifests"));
        }
        self.seen.insert(document.digest.clone());
        if let Ok(index) = serde_json::from_slice::<Index>(&document.bytes) {
            for child in &index.manifests {
                if self.seen.contains(&child.digest)
                    || self.target.has_manifest(&child.digest, &child.media_type).await?
                {
                    continue;
                }
                let below = self.source.manifest(child.digest.as_str()).await?;
                Box::pin(self.manifest(&below, None, depth - 1)).await?;
            }
        } else {
            let manifest: Manifest = serde_json::from_slice(&document.bytes)
                .map_err(|error| Error::archive(format!("manifest {}: {error}", document.digest)))?;
            for blob in manifest.layers.iter().chain([&manifest.config]) {
                self.blob(blob).await?;
            }
        }
        let name = tag.unwrap_or(document.digest.as_str());
        self.target.put_manifest(name, &document.media_type, document.bytes.clone()).await?;
        Ok(())
    }

    async fn blob(&mut self, blob: &Descriptor) -> Result<()> {
        if !self.seen.insert(blob.digest.clone()) {
            return Ok(());
        }
        let shown = berth_kit::id::short(blob.digest.hex()).to_owned();
        let line = |status: &str| Progress::step(&shown, status, 0, 0);
        if self.target.has_blob(&blob.digest).await? {
            say(self.progress, line("Already exists")).await;
            return Ok(());
        }
        for neighbour in &self.neighbours {
            if self.target.mount_blob(blob, neighbour).await? {
                say(self.progress, line(&format!("Mounted from {neighbour}"))).await;
                return Ok(());
            }
        }
        say(self.progress, line("Copying")).await;
        self.source.fetch(blob, &self.images.shared.content).await?;
        let digest = blob.digest.clone();
        let file = self.images.blocking(move |shared| Ok(Arc::new(shared.content.open_blob(&digest)?))).await?;
        let uploaded = self.target.upload(blob, &Contents::File(file), &[], None).await?;
        say(self.progress, line(if uploaded == Uploaded::Existed { "Already exists" } else { "Copied" })).await;
        Ok(())
    }
}

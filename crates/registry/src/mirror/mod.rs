//! The mirror: what is not here is fetched from an upstream, once, and served to all who wait.
//!
//! ```text
//! tag:   fresh here ─► served            not fresh ─► asked upstream ─┬─ an answer ─► kept, served
//!                                                                     ├─ no such tag ─► forgotten
//!                                                                     └─ a failure ─► what is here, while not too stale
//! blob:  here ─► served                  not here ─► one Fetch, however many wait; each reads as far as it has come
//! quota: over it, blobs that were not used for longest go
//! ```
//!
//! A blob is fetched when a manifest that came through here names it: its size is known then, and nobody makes the
//! registry fetch anything else.

mod fetch;
mod upstream;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use berth_spec::image::Descriptor;
use hyper::{StatusCode, header};

use crate::{
    Error, Result,
    digest::{Algorithm, Digest},
    fault::{Fault, Outcome},
    handle::{Answer, Context, blob, manifest::unfit, reply, send},
    ledger::{
        blob::link,
        manifest::{self, Push, Stored},
        mirror, now,
    },
    manifest::parse,
    metric,
    range::{Wanted, wanted},
    registry::Registry,
    serve::payload::Payload,
    settings::Settings,
};
use fetch::{Fetch, Fetches};
use upstream::Upstream;

/// Rows looked at for the quota at once.
const QUOTA_ROWS: usize = 1000;
/// How long somebody waits for the first byte of an upstream.
const FIRST_BYTE_PATIENCE: Duration = Duration::from_secs(120);

/// Mirrored registries.
#[derive(Debug)]
pub struct Mirror {
    upstreams: Vec<Upstream>,
    content: berth_content::Store,
    fetches: Fetches,
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Mirror {
    /// The mirror of the settings, if they name an upstream.
    ///
    /// # Errors
    /// [`Error::Setting`] for an upstream that cannot be used, [`Error::File`].
    pub fn open(settings: &Settings) -> Result<Option<Self>> {
        if settings.upstreams.is_empty() {
            return Ok(None);
        }
        let root = settings.root.join("mirror");
        let content = berth_content::Store::open(&root)
            .map_err(|error| Error::Setting { name: root.display().to_string(), reason: error.to_string() })?;
        let certificates = settings.upstream_certificates.as_deref();
        let mut upstreams = settings
            .upstreams
            .iter()
            .map(|upstream| Upstream::new(upstream, certificates))
            .collect::<Result<Vec<_>>>()?;
        upstreams.sort_by_key(|upstream| std::cmp::Reverse(upstream.prefix.len()));
        Ok(Some(Self { upstreams, content, fetches: Fetches::default(), turns: Mutex::default() }))
    }

    /// Whether a repository is a mirrored one.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The prefix for a registry that a client names in the parameter `ns` (OCI distribution specification,
    /// "Registry Proxying").
    #[must_use]
    pub fn namespace(&self, host: &str) -> Option<&str> {
        let found = self.upstreams.iter().find(|upstream| !host.is_empty() && upstream.prefix == host)?;
        Some(&found.prefix)
    }

    fn find(&self, name: &str) -> Option<(&Upstream, String)> {
        self.upstreams.iter().find_map(|upstream| Some((upstream, upstream.path(name)?)))
    }

    fn repository(&self, registry: &Registry, name: &str) -> Outcome<berth_remote::Repository> {
        let (upstream, path) = self.find(name).ok_or_else(Fault::name_unknown)?;
        metric::add(&registry.metrics.upstream_requests, 1);
        upstream.repository(&path).map_err(|error| failed(&error))
    }

    /// The turn for one thing to fetch: who comes second finds it here.
    fn turn(&self, key: String) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::<tokio::sync::Mutex<()>>::default();
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }

    /// The manifest of a tag.
    pub async fn tag(&self, context: &Context<'_>, name: &str, tag: &str) -> Outcome<Stored> {
        let registry = context.registry;
        let times = registry.settings.mirror;
        let look = || -> Outcome<(Option<Stored>, i64)> {
            let stored = registry.depot.ledger.read("look for a tag", |c| manifest::by_tag(c, name, tag))?;
            let checked = registry.depot.ledger.read("look for a tag", |c| mirror::checked(c, name, tag))?;
            Ok((stored, checked.map_or(i64::MAX, |checked| now() - checked)))
        };
        let fresh = i64::try_from(times.fresh.as_secs()).unwrap_or(i64::MAX);
        if let (Some(stored), age) = look()?
            && age < fresh
        {
            metric::add(&registry.metrics.mirror_hits, 1);
            return Ok(stored);
        }
        let turn = self.turn(format!("{name}:{tag}"));
        let _turn = turn.lock().await;
        let (here, age) = look()?;
        // A second ago is fresh for whoever waited, whatever the setting.
        if let Some(stored) = here.clone().filter(|_| age < fresh.max(1)) {
            metric::add(&registry.metrics.mirror_hits, 1);
            return Ok(stored);
        }
        metric::add(&registry.metrics.mirror_misses, 1);
        match self.repository(registry, name)?.manifest(tag).await {
            Ok(document) => self.keep(registry, name, Some(tag), document).await,
            Err(berth_remote::Error::ManifestUnknown { .. }) => {
                let (name, tag) = (name.to_owned(), tag.to_owned());
                registry.depot.ledger.write("forget a tag", move |c| manifest::untag(c, &name, &tag)).await?;
                Err(Fault::manifest_unknown())
            }
            Err(error @ berth_remote::Error::Denied { .. }) => Err(failed(&error)),
            Err(error) => {
                let stale = i64::try_from(times.stale.as_secs()).unwrap_or(i64::MAX);
                tracing::warn!(%error, name, tag, "the upstream cannot be asked");
                let stored = here.filter(|_| age < stale).ok_or_else(|| failed(&error))?;
                metric::add(&registry.metrics.mirror_stale, 1);
                Ok(stored)
            }
        }
    }

    /// The manifest with a digest.
    pub async fn manifest(&self, context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<Stored> {
        let registry = context.registry;
        let turn = self.turn(format!("{name}@{digest}"));
        let _turn = turn.lock().await;
        let here = registry.depot.ledger.read("look for a manifest", |c| manifest::by_digest(c, name, digest))?;
        if let Some(stored) = here {
            return Ok(stored);
        }
        metric::add(&registry.metrics.mirror_misses, 1);
        let document = self.repository(registry, name)?.manifest(digest.as_str()).await;
        self.keep(registry, name, None, document.map_err(|error| failed(&error))?).await
    }

    async fn keep(
        &self,
        registry: &Registry,
        name: &str,
        tag: Option<&str>,
        document: berth_remote::Document,
    ) -> Outcome<Stored> {
        metric::add(&registry.metrics.upstream_bytes, document.bytes.len() as u64);
        let read = parse(&document.bytes, Some(&document.media_type));
        let read = read.map_err(|error| Fault::new(StatusCode::BAD_GATEWAY, "MANIFEST_INVALID", error.to_string()))?;
        let digest = Digest::of(Algorithm::Sha256, &document.bytes);
        let stored =
            Stored { digest: digest.to_string(), media_type: read.media_type.clone(), bytes: document.bytes.to_vec() };
        let limits = registry.settings.limits;
        let push = Push {
            name: name.to_owned(),
            digest,
            manifest: read,
            bytes: document.bytes.to_vec(),
            tags: tag.map(str::to_owned).into_iter().collect(),
            tags_max: limits.tags,
            repositories_max: limits.repositories,
            is_sparse: true,
        };
        // Also what came by digest makes the repository a mirrored one, for the quota.
        let key = tag.map_or_else(|| format!("@{}", push.digest), str::to_owned);
        let kept = registry.depot.ledger.write("keep a mirrored manifest", move |c| {
            let outcome = manifest::push(c, &push)?;
            mirror::set_checked(c, &push.name, &key)?;
            Ok(outcome)
        });
        kept.await?.map_err(unfit)?;
        Ok(stored)
    }

    /// A page of the upstream's tags; `None` when it cannot be asked, so that those here are shown.
    pub async fn tags(
        &self,
        registry: &Registry,
        name: &str,
        last: &str,
        limit: usize,
    ) -> Outcome<Option<Vec<String>>> {
        match self.repository(registry, name)?.tags().await {
            Ok(mut tags) => {
                tags.sort();
                Ok(Some(tags.into_iter().filter(|tag| tag.as_str() > last).take(limit).collect()))
            }
            Err(error) => {
                tracing::warn!(%error, name, "the upstream cannot be asked for its tags");
                Ok(None)
            }
        }
    }

    /// Sees to it that the manifests that refer to a digest are here.
    pub async fn referrers(&self, context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<()> {
        let registry = context.registry;
        let Ok(subject) = berth_spec::Digest::parse(digest.as_str()) else { return Ok(()) };
        let key = format!("!{digest}");
        let checked = registry.depot.ledger.read("look for referrers", |c| mirror::checked(c, name, &key))?;
        let fresh = i64::try_from(registry.settings.mirror.fresh.as_secs()).unwrap_or(i64::MAX);
        if checked.is_some_and(|checked| now() - checked < fresh) {
            return Ok(());
        }
        let found = match self.repository(registry, name)?.referrers(&subject).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, name, "the upstream cannot be asked for referrers");
                return Ok(());
            }
        };
        for found in found {
            if let Ok(found) = Digest::parse(found.as_str()) {
                self.manifest(context, name, &found).await?;
            }
        }
        let name = name.to_owned();
        registry.depot.ledger.write("note referrers", move |c| mirror::set_checked(c, &name, &key)).await?;
        Ok(())
    }

    /// Sends a blob that is not here yet.
    pub async fn blob(&self, context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<Answer> {
        let registry = context.registry;
        let size = registry.depot.ledger.read("look for a descriptor", |c| mirror::named(c, name, digest))?;
        let size = size.ok_or_else(Fault::blob_unknown)?;
        if size > registry.settings.limits.blob_bytes {
            return Err(Fault::too_large("SIZE_INVALID", registry.settings.limits.blob_bytes));
        }
        let Some(fetch) = self.fetch(registry, name, digest, size)? else {
            return blob::stored(context, digest, size).await;
        };
        let mut progress = fetch.progress();
        let first = tokio::time::timeout(FIRST_BYTE_PATIENCE, progress.wait_for(|progress| progress.is_begun())).await;
        match first.map(|progress| progress.map(|progress| progress.clone())) {
            Ok(Ok(progress)) if progress.failure().is_none() => {}
            Ok(Ok(progress)) => return Err(upstream_fault(progress.failure().unwrap_or_default())),
            _ => return Err(upstream_fault("the upstream sends nothing")),
        }
        show(context, &fetch, digest, size)
    }

    /// The fetch to follow; `None` when the blob has come meanwhile. What another repository has does not count: only
    /// the upstream knows whether this one has it too.
    fn fetch(&self, registry: &Arc<Registry>, name: &str, digest: &Digest, size: u64) -> Outcome<Option<Arc<Fetch>>> {
        self.fetches.join(name, digest, || {
            if registry.depot.ledger.read("look for a blob", |c| link(c, name, digest))?.is_some() {
                return Ok(None);
            }
            metric::add(&registry.metrics.mirror_misses, 1);
            let repository = Arc::new(self.repository(registry, name)?);
            let spec = berth_spec::Digest::parse(digest.as_str()).map_err(|_| Fault::digest_invalid())?;
            let descriptor = Descriptor {
                media_type: "application/octet-stream".to_owned(),
                digest: spec,
                size,
                platform: None,
                annotations: None,
            };
            let (upstream, _) = self.find(name).ok_or_else(Fault::name_unknown)?;
            let lease =
                upstream.client.download(&repository, &descriptor, &self.content).map_err(|error| failed(&error))?;
            let path = self.content.path(&descriptor.digest);
            Ok(Some(Fetch::begin(registry, name, digest, size, lease, path)))
        })
    }

    /// Drops mirrored blobs, those not used for longest, until the quota is kept.
    ///
    /// # Errors
    /// Those of store and ledger.
    pub async fn keep_quota(&self, registry: &Registry) -> Result<()> {
        let quota = registry.settings.mirror.quota_bytes;
        if quota == 0 {
            return Ok(());
        }
        loop {
            let (used, mut sum) = registry.depot.ledger.read("list mirrored blobs", |c| mirror::used(c, QUOTA_ROWS))?;
            if sum <= quota || used.is_empty() {
                return Ok(());
            }
            for blob in used {
                if sum <= quota {
                    return Ok(());
                }
                let digest = blob.digest.clone();
                let unlinked = blob.name.clone();
                registry
                    .depot
                    .ledger
                    .write("drop a mirrored blob", move |c| crate::ledger::blob::unlink(c, &unlinked, &digest))
                    .await?;
                if let Some(size) = registry.depot.drop_orphan(&blob.digest).await? {
                    sum = sum.saturating_sub(size);
                    metric::add(&registry.metrics.evicted_bytes, size);
                }
            }
        }
    }
}

/// Sends what has come and what will.
fn show(context: &Context<'_>, fetch: &Arc<Fetch>, digest: &Digest, size: u64) -> Outcome<Answer> {
    let mut builder = reply(StatusCode::OK)
        .header("Docker-Content-Digest", digest.as_str())
        .header(header::ETAG, format!("\"{digest}\""))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "application/octet-stream");
    let (first, length) = match wanted(context.header(header::RANGE), size) {
        Wanted::Whole => (0, size),
        Wanted::Part(first, last) => {
            let range = format!("bytes {first}-{last}/{size}");
            builder = builder.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
            (first, last - first + 1)
        }
        Wanted::Unsatisfiable => {
            let fault = Fault::new(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", "nothing lies in that range");
            return Err(fault.header("Content-Range", &format!("bytes */{size}")));
        }
    };
    builder = builder.header(header::CONTENT_LENGTH, length);
    if context.is_head() || length == 0 {
        return send(builder, Payload::empty());
    }
    metric::add(&context.registry.metrics.sent_bytes, length);
    send(builder, fetch.read(first, length))
}

/// What an upstream's failure is to a client.
fn failed(error: &berth_remote::Error) -> Fault {
    match error {
        berth_remote::Error::ManifestUnknown { .. } => Fault::manifest_unknown(),
        berth_remote::Error::Denied { .. } => Fault::name_unknown(),
        berth_remote::Error::TooManyRequests { .. } => Fault::too_many(),
        error => {
            tracing::warn!(%error, "the upstream failed");
            upstream_fault("the upstream cannot be asked")
        }
    }
}

fn upstream_fault(words: &str) -> Fault {
    Fault::new(StatusCode::BAD_GATEWAY, "UNAVAILABLE", words)
}

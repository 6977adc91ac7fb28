//! Mending: each finding with the means there are, the most basic first.

use std::{fs::File, os::fd::AsFd, sync::Arc};

use berth_archive::{
    IdShift, compression,
    hash::Hashing,
    unpack::{Limits, Whiteouts, unpack_layer},
};
use berth_record::Durability;
use berth_spec::{Digest, Reference, image::Descriptor};

use super::{FsckReport, FsckRequest, What};
use crate::{
    Error, Images, Result,
    images::Shared,
    layer::read_failed,
    load::{parse_config, store_image},
    record::{IMAGE_TABLE, LAYER_TABLE, LayerRecord, TAG_TABLE},
    save::CONFIG_BYTES_MAX,
};

/// Where a blob can be fetched again.
struct Source {
    reference: Reference,
    blob: Descriptor,
}

/// Mends what can be mended, and notes in the report what was done.
pub async fn repair(images: &Images, request: &FsckRequest, report: &mut FsckReport) -> Result<()> {
    // Records before what they speak of; archives before the files that are made of them; orphans last.
    for what in [What::Record, What::Tag, What::Config, What::Blob, What::Layer, What::Orphan] {
        for at in 0..report.findings.len() {
            if report.findings[at].what != what || report.findings[at].repaired.is_some() {
                continue;
            }
            let id = report.findings[at].id.clone();
            let outcome = match what {
                What::Record => images.blocking(move |shared| record(shared, &id)).await,
                What::Tag => images.blocking(move |shared| shared.delete_tag(&id).map(|()| removed())).await,
                What::Config => config(images, request, &id).await,
                What::Blob => blob(images, request, &id).await,
                What::Layer => layer(images, request, &id).await,
                What::Orphan => orphan(images, &id, &mut report.bytes_freed).await,
            };
            match outcome {
                Ok(done) => report.findings[at].repaired = Some(done),
                Err(error) => {
                    let why = error_chain(&error);
                    report.findings[at].problem.push_str(&format!("; it cannot be repaired: {why}"));
                }
            }
        }
    }
    Ok(())
}

fn removed() -> String {
    "removed".to_owned()
}

fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(&format!(": {source}"));
        next = source.source();
    }
    text
}

/// A record of an image is made again of its configuration; others go.
fn record(shared: &Shared, id: &str) -> Result<String> {
    let (table, id) = id.split_once('/').unwrap_or((id, ""));
    let table = [IMAGE_TABLE, LAYER_TABLE, TAG_TABLE].into_iter().find(|known| *known == table).unwrap_or_default();
    let mut done = removed();
    shared.records.delete(table, id, Durability::Power)?;
    if table == IMAGE_TABLE
        && let Ok(digest) = Digest::parse(id)
        && let Ok(bytes) = shared.content.read_small(&digest, CONFIG_BYTES_MAX)
    {
        store_image(shared, &bytes, parse_config(&bytes)?, None)?;
        done = "made again of the image's configuration".to_owned();
    }
    Ok(done)
}

/// The configuration of an image comes from a repository that knows the image.
async fn config(images: &Images, request: &FsckRequest, id: &str) -> Result<String> {
    let shared = &images.shared;
    let id = Digest::parse(id).map_err(|_| Error::Missing(id.to_owned()))?;
    let image = shared.image(&id)?;
    let descriptor = crate::save::descriptor(berth_spec::image::OCI_CONFIG, id.clone(), image.config_bytes);
    let named = image.digests.iter().cloned().chain(shared.view(|index| index.references_of(&image)));
    let sources = named.filter_map(|name| Reference::parse(&name).ok());
    let sources = sources.map(|reference| Source { reference, blob: descriptor.clone() }).collect();
    fetch(images, request, sources, &id).await
}

/// The archive of a layer comes from where its layer is known to lie; one that lies there in another form is taken so.
async fn blob(images: &Images, request: &FsckRequest, id: &str) -> Result<String> {
    let shared = &images.shared;
    let id = Digest::parse(id).map_err(|_| Error::Missing(id.to_owned()))?;
    let of_blob = shared.view(|index| {
        let mut layers = index.layers.iter().filter(|(_, layer)| layer.blob == id);
        layers.next().map(|(chain, layer)| (chain.clone(), Arc::clone(layer)))
    });
    let Some((chain, record)) = of_blob else { return Err(Error::Missing(id.to_string())) };
    let places = sources_of(shared, &record.diff_id)?;
    let (same, other): (Vec<Source>, Vec<Source>) = places.into_iter().partition(|source| source.blob.digest == id);
    if let Ok(done) = fetch(images, request, same, &id).await {
        return Ok(done);
    }
    refetch(images, request, other, &chain, &record.diff_id).await
}

/// Where the layer with this diff id is known to lie, the latest first.
fn sources_of(shared: &Shared, diff_id: &Digest) -> Result<Vec<Source>> {
    let known = shared.known_layer(diff_id)?;
    let source = |place: &crate::known::Place| {
        let reference = Reference::parse(&format!("{}/{}", place.domain, place.path)).ok()?;
        let blob = crate::save::descriptor(&place.media_type, place.digest.clone(), place.size);
        Some(Source { reference, blob })
    };
    Ok(known.places.iter().rev().filter_map(source).collect())
}

/// Fetches the blob `id` from the first source that has it.
async fn fetch(images: &Images, request: &FsckRequest, sources: Vec<Source>, id: &Digest) -> Result<String> {
    let shared = &images.shared;
    let mut last = Error::Archive(format!("no registry is known to have {id}"));
    for Source { reference, blob } in sources {
        let credentials = request.credentials.get(reference.domain()).cloned();
        let repository = Arc::new(shared.remote.repository(&reference, &request.policy, credentials)?);
        // What is spoiled is not taken for what is there.
        shared.content.remove(&blob.digest)?;
        match repository.fetch(&blob, &shared.content).await {
            Ok(()) => return Ok(format!("fetched again from {}", reference.familiar_name())),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Fetches a layer in the form in which it lies on a registry, and notes that form.
async fn refetch(
    images: &Images,
    request: &FsckRequest,
    sources: Vec<Source>,
    chain: &Digest,
    diff_id: &Digest,
) -> Result<String> {
    let mut last = Error::Archive(format!("no registry is known to have {diff_id}"));
    for source in sources {
        let digest = source.blob.digest.clone();
        match fetch(images, request, vec![source], &digest).await {
            Ok(done) => {
                let (chain, diff_id) = (chain.clone(), diff_id.clone());
                images.blocking(move |shared| note(shared, &chain, &diff_id, &digest)).await?;
                return Ok(done);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Writes the record of a layer whose archive is the blob `blob`.
fn note(shared: &Shared, chain: &Digest, diff_id: &Digest, blob: &Digest) -> Result<()> {
    let mut hashing = Hashing::new(compression::decoder(shared.content.open_blob(blob)?)?);
    std::io::copy(&mut hashing, &mut std::io::sink()).map_err(read_failed)?;
    let (_, found, archive_bytes) = hashing.finish();
    if &found != diff_id {
        return Err(Error::WrongLayer { expected: diff_id.to_string(), found: found.to_string() });
    }
    let bytes = shared.snapshots.layer_size(chain.as_str()).unwrap_or(0);
    let (diff_id, blob) = (diff_id.clone(), blob.clone());
    let blob_bytes = shared.content.size(&blob)?;
    shared.put_layer(chain, LayerRecord { diff_id, blob, blob_bytes, archive_bytes, bytes })
}

/// The files of a layer are made again of its archive, which is fetched when even its record is gone.
async fn layer(images: &Images, request: &FsckRequest, id: &str) -> Result<String> {
    let shared = &images.shared;
    let chain = Digest::parse(id).map_err(|_| Error::Missing(id.to_owned()))?;
    let user = shared.view(|index| {
        let users = index.images.values().filter(|image| image.chain_ids.contains(&chain));
        users.flat_map(|image| shared.containers_of(&image.id)).find(|(_, runs)| *runs)
    });
    if let Some((container, _)) = user {
        let short = berth_kit::id::short(&container).to_owned();
        return Err(Error::Conflict {
            id: berth_kit::id::short(chain.hex()).to_owned(),
            how: "stop it first",
            why: format!("the layer is used by running container {short}"),
        });
    }
    let place = shared.view(|index| {
        index.images.values().find_map(|image| {
            let at = image.chain_ids.iter().position(|other| other == &chain)?;
            let parent = at.checked_sub(1).map(|below| image.chain_ids[below].clone());
            Some((image.config.rootfs.diff_ids.get(at)?.clone(), parent))
        })
    });
    let Some((diff_id, parent)) = place else { return Err(Error::Missing(id.to_owned())) };
    let mut done = String::new();
    if shared.view(|index| !index.layers.contains_key(&chain)) {
        let sources = sources_of(shared, &diff_id)?;
        done = refetch(images, request, sources, &chain, &diff_id).await? + " and ";
    }
    images.blocking(move |shared| unpack(shared, &chain, parent.as_ref())).await?;
    Ok(done + "unpacked again")
}

fn unpack(shared: &Shared, chain: &Digest, parent: Option<&Digest>) -> Result<()> {
    let record = shared.view(|index| index.layers.get(chain).cloned());
    let record = record.ok_or_else(|| Error::Missing(chain.to_string()))?;
    let draft = shared.snapshots.draft_layer(chain.as_str(), parent.map(Digest::as_str))?;
    let root = File::open(&draft.dir).map_err(|source| Error::File {
        act: "open",
        path: draft.dir.display().to_string(),
        source,
    })?;
    let mut archive = Hashing::new(compression::decoder(shared.content.open_blob(&record.blob)?)?);
    let limits = Limits::default();
    let unpacked = unpack_layer(&mut archive, root.as_fd(), &limits, Whiteouts::Overlay, IdShift::default())?;
    let (_, found, _) = archive.finish();
    if found != record.diff_id {
        return Err(Error::WrongLayer { expected: record.diff_id.to_string(), found: found.to_string() });
    }
    shared.snapshots.replace_layer(draft, unpacked.bytes)?;
    let mut record = LayerRecord::clone(&record);
    record.bytes = unpacked.bytes;
    shared.put_layer(chain, record)
}

/// What nothing needs goes.
async fn orphan(images: &Images, id: &str, freed: &mut u64) -> Result<String> {
    let id = id.to_owned();
    let bytes = images
        .blocking(move |shared| {
            let Ok(digest) = Digest::parse(&id) else { return Ok(0) };
            if shared.content.contains(&digest) {
                let bytes = shared.content.size(&digest)?;
                shared.content.remove(&digest)?;
                return Ok(bytes);
            }
            match shared.snapshots.layer_size(&id) {
                Ok(bytes) => {
                    // Those that another orphan stands on go with that, when all is collected at the end.
                    match shared.snapshots.remove_layer(&id) {
                        Err(berth_snapshot::Error::LayerInUse { .. }) => {}
                        other => other?,
                    }
                    Ok(bytes)
                }
                Err(_) => shared.snapshots.remove_spoiled(&id).map(|()| 0).map_err(Error::from),
            }
        })
        .await?;
    *freed += bytes;
    Ok(removed())
}

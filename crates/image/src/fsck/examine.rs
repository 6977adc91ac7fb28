//! Looking, without changing anything.

use std::{collections::BTreeSet, fs::File, io, os::fd::AsFd};

use berth_archive::{
    compression,
    hash::Hashing,
    unpack::{Limits, verify_layer},
};
use berth_spec::Digest;

use super::{FsckReport, What};
use crate::{
    Result,
    images::Shared,
    index::Index,
    record::{IMAGE_TABLE, ImageRecord, LAYER_TABLE, LayerRecord, TAG_TABLE, TagRecord},
};

/// Looks at everything.
pub fn examine(shared: &Shared) -> Result<FsckReport> {
    let mut report = FsckReport::default();
    let index = shared.snapshot();
    records(shared, &mut report)?;
    let spoiled = blobs(shared, &mut report)?;
    configurations(shared, &index, &spoiled, &mut report);
    layers(shared, &index, &spoiled, &mut report)?;
    orphans(shared, &index, &mut report)?;
    report.images = index.images.len();
    for (name, tag) in index.tags.iter().filter(|(_, tag)| !index.images.contains_key(&tag.image)) {
        report.add(What::Tag, name, format!("it is a name of {}, which is not here", tag.image));
    }
    Ok(report)
}

/// Records that cannot be read; they were left out when the index was made.
fn records(shared: &Shared, report: &mut FsckReport) -> Result<()> {
    let mut bad = shared.records.summaries::<ImageRecord>(IMAGE_TABLE)?.1;
    bad.extend(shared.records.summaries::<LayerRecord>(LAYER_TABLE)?.1);
    bad.extend(shared.records.summaries::<TagRecord>(TAG_TABLE)?.1);
    for error in bad {
        let problem = error.to_string();
        if let berth_record::Error::Form { kind, id, .. } = error {
            report.add(What::Record, format!("{kind}/{id}"), problem);
        }
    }
    Ok(())
}

/// Reads every blob; gives those that are not what their names say.
fn blobs(shared: &Shared, report: &mut FsckReport) -> Result<BTreeSet<Digest>> {
    let mut spoiled = BTreeSet::new();
    for digest in shared.content.list()? {
        report.blobs += 1;
        // One that went meanwhile is not missed by anybody.
        let Ok(file) = shared.content.open_blob(&digest) else { continue };
        let mut hashing = Hashing::new(file);
        let read = io::copy(&mut hashing, &mut io::sink());
        let (_, found, bytes) = hashing.finish();
        report.bytes_read += bytes;
        if read.is_err() || found != digest {
            spoiled.insert(digest);
        }
    }
    Ok(spoiled)
}

fn configurations(shared: &Shared, index: &Index, spoiled: &BTreeSet<Digest>, report: &mut FsckReport) {
    for id in index.images.keys() {
        if !shared.content.contains(id) {
            report.add(What::Config, id, "the configuration of this image is missing");
        } else if spoiled.contains(id) {
            report.add(What::Config, id, "the configuration of this image has another digest");
        }
    }
}

/// Layers that images need, each with its blob and its files.
fn layers(shared: &Shared, index: &Index, spoiled: &BTreeSet<Digest>, report: &mut FsckReport) -> Result<()> {
    report.layers = shared.snapshots.layers()?.len();
    for chain in index.needed_layers() {
        let Some(record) = index.layers.get(&chain) else {
            report.add(What::Layer, &chain, "its record is missing");
            continue;
        };
        if !shared.content.contains(&record.blob) {
            report.add(What::Blob, &record.blob, format!("the archive of layer {chain} is missing"));
        } else if spoiled.contains(&record.blob) {
            report.add(What::Blob, &record.blob, format!("the archive of layer {chain} has another digest"));
        }
        if let Some(problem) = files(shared, &chain, record, spoiled.contains(&record.blob))? {
            report.add(What::Layer, &chain, problem);
        }
    }
    Ok(())
}

/// What is wrong with the files of a layer.
fn files(shared: &Shared, chain: &Digest, record: &LayerRecord, is_spoiled: bool) -> Result<Option<String>> {
    let directory = match shared.snapshots.layer_dir(chain.as_str()) {
        Ok(directory) => directory,
        Err(error) => return Ok(Some(format!("its files cannot be found: {error}"))),
    };
    let root = match File::open(&directory) {
        Ok(root) => root,
        Err(error) => return Ok(Some(format!("its files cannot be opened: {error}"))),
    };
    let blob = match shared.content.open_blob(&record.blob) {
        Ok(blob) if !is_spoiled => blob,
        // Without its archive nothing can be said about the contents.
        _ => return Ok(None),
    };
    let differences = verify_layer(compression::decoder(blob)?, root.as_fd(), &Limits::default())?;
    Ok((!differences.is_empty()).then(|| differences.join("; ")))
}

/// What nothing needs: blobs and layers without image, layers that cannot be read.
fn orphans(shared: &Shared, index: &Index, report: &mut FsckReport) -> Result<()> {
    let keeper = shared.keeper.get();
    let mut blobs: BTreeSet<Digest> = index.layers.values().map(|layer| layer.blob.clone()).collect();
    blobs.extend(index.images.keys().cloned());
    blobs.extend(keeper.map(|keeper| keeper.blobs()).unwrap_or_default());
    for blob in shared.content.list()?.iter().filter(|blob| !blobs.contains(blob)) {
        report.add(What::Orphan, blob, "no image needs this blob");
    }
    let mut needed = index.needed_layers();
    // What is needed carries what lies below it.
    let present = shared.snapshots.layers()?;
    let mut tops: Vec<Digest> = keeper.map(|keeper| keeper.layers()).unwrap_or_default();
    for key in shared.snapshots.snapshots()? {
        let rootfs = shared.snapshots.top(&key).ok().flatten();
        tops.extend(rootfs.and_then(|top| Digest::parse(&top).ok()));
    }
    while let Some(top) = tops.pop() {
        let below = present.iter().find(|layer| layer.chain_id == top.as_str()).and_then(|layer| layer.parent.as_ref());
        if needed.insert(top) {
            tops.extend(below.and_then(|below| Digest::parse(below).ok()));
        }
    }
    for layer in present.iter().filter(|layer| Digest::parse(&layer.chain_id).is_ok_and(|id| !needed.contains(&id))) {
        report.add(What::Orphan, &layer.chain_id, "no image and no container needs this layer");
    }
    for chain in shared.snapshots.spoiled_layers()? {
        if Digest::parse(&chain).is_ok_and(|id| !index.needed_layers().contains(&id)) {
            report.add(What::Orphan, &chain, "a layer whose description cannot be read");
        }
    }
    Ok(())
}

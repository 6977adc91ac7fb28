//! Caches in folders of the client (`type=local`): brought before a build, given back after it.

use berth_build::{CacheFrom, ContextStore, Folder};
use berth_buildkit::{
    grpc::{Code, Status},
    request::Cache,
    session::Session,
};
use berth_spec::{
    Digest,
    image::{Descriptor, Index, Manifest, OCI_INDEX},
};

/// The answer's field from which a client knows what to write into the folder's index.
pub const MANIFEST: &str = "cache.manifest";
/// The longest manifest, in bytes.
const MANIFEST_MAX: u64 = 4 << 20;
/// Bytes of a blob at a time.
const CHUNK: usize = 1 << 20;

/// Brings a cache as the layout that the builder reads.
pub async fn bring(store: &ContextStore, session: &Session, cache: &Cache) -> Result<CacheFrom, Status> {
    let (place, digest) = (needed(cache, "src")?, needed(cache, "digest")?);
    let digest = parse(digest)?;
    let folder = store.temporary().map_err(super::builder::failed)?;
    let blobs = folder.path.join("blobs/sha256");
    tokio::fs::create_dir_all(&blobs).await.map_err(Status::gone)?;
    let size = fetch(session, place, &digest, MANIFEST_MAX, &folder).await?;
    let bytes = tokio::fs::read(blobs.join(digest.hex())).await.map_err(Status::gone)?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| Status::invalid(format!("the cache in {place}: {error}")))?;
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        fetch(session, place, &blob.digest, blob.size, &folder).await?;
    }
    let media_type = manifest.media_type.clone().unwrap_or_default();
    let manifests = vec![Descriptor { media_type, digest, size, platform: None, annotations: None }];
    let index = Index { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests, annotations: None };
    let index = serde_json::to_vec(&index).map_err(Status::gone)?;
    tokio::fs::write(folder.path.join("index.json"), index).await.map_err(Status::gone)?;
    Ok(CacheFrom::Folder(folder))
}

/// Copies one blob of at most `most` bytes into the layout; gives its length.
async fn fetch(session: &Session, place: &str, digest: &Digest, most: u64, folder: &Folder) -> Result<u64, Status> {
    let mut blob = session.blob(place, digest.as_str()).await?;
    let path = folder.path.join("blobs/sha256").join(digest.hex());
    let mut file = tokio::fs::File::create(path).await.map_err(Status::gone)?;
    let mut length = 0;
    while let Some(piece) = blob.next().await? {
        length += piece.len() as u64;
        if length > most {
            return Err(Status::invalid(format!("the blob {digest} of a cache is longer than {most} bytes")));
        }
        tokio::io::AsyncWriteExt::write_all(&mut file, &piece).await.map_err(Status::gone)?;
    }
    tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(Status::gone)?;
    Ok(length)
}

/// Gives the layout that a build wrote to the client; says what the client's index must name.
pub async fn send(folder: &Folder, session: &Session, cache: &Cache) -> Result<String, Status> {
    let place = needed(cache, "dest")?;
    let index: Index = document(folder, "index.json").await?;
    let first = index.manifests.first().ok_or_else(|| Status::gone("the build wrote no cache"))?;
    let manifest: Manifest = document(folder, &format!("blobs/sha256/{}", first.digest.hex())).await?;
    // The manifest comes last: what it names is there then.
    for blob in manifest.layers.iter().chain([&manifest.config, first]) {
        give(session, place, blob, folder).await?;
    }
    serde_json::to_string(&Descriptor { annotations: None, ..first.clone() }).map_err(Status::gone)
}

async fn give(session: &Session, place: &str, blob: &Descriptor, folder: &Folder) -> Result<(), Status> {
    let mut sink = session.blob_sink(place, blob.digest.as_str(), blob.size).await?;
    let path = folder.path.join("blobs/sha256").join(blob.digest.hex());
    let mut file = tokio::fs::File::open(path).await.map_err(Status::gone)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = tokio::io::AsyncReadExt::read(&mut file, &mut buffer).await.map_err(Status::gone)?;
        if read == 0 {
            return sink.commit().await;
        }
        if !sink.write(&buffer[..read]).await? {
            return Ok(());
        }
    }
}

async fn document<T: serde::de::DeserializeOwned>(folder: &Folder, name: &str) -> Result<T, Status> {
    let bytes = tokio::fs::read(folder.path.join(name)).await.map_err(Status::gone)?;
    serde_json::from_slice(&bytes).map_err(Status::gone)
}

fn needed<'c>(cache: &'c Cache, name: &str) -> Result<&'c str, Status> {
    let given = cache.attrs.get(name).map(String::as_str).filter(|value| !value.is_empty());
    given.ok_or_else(|| Status::new(Code::InvalidArgument, format!("a local cache needs {name}")))
}

fn parse(digest: &str) -> Result<Digest, Status> {
    Digest::parse(digest).map_err(|_| Status::invalid(format!("invalid digest {digest:?} of a cache")))
}

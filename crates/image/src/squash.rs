//! `image squash`: an image with all its layers in one, without what later layers removed from earlier ones.

use std::{io::BufWriter, os::fd::AsFd, path::Path};

use berth_archive::pack::{self, TreeOptions};
use berth_kit::time::Timestamp;
use berth_spec::{Digest, image::History};

use crate::{
    Error, Images, Result,
    collect::Build,
    images::Shared,
    import::{finish, name_of},
    layer,
};

impl Images {
    /// Makes an image with the contents and the configuration of `name` and one layer; gives its id. `repository` and
    /// `tag` name it; without them it has no name.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Reference`], [`Error::Snapshot`] when the layers cannot be mounted.
    pub async fn squash(&self, name: &str, repository: &str, tag: &str) -> Result<Digest> {
        let (wanted, name) = (name.to_owned(), name_of(repository, tag)?);
        self.blocking(move |shared| {
            let build = Build::begin(shared);
            let outcome = squash(shared, &wanted, name.as_deref());
            build.tidy();
            outcome
        })
        .await
    }
}

fn squash(shared: &Shared, wanted: &str, name: Option<&str>) -> Result<Digest> {
    let image = shared.find(wanted)?;
    let mut config = image.config.clone();
    if let Some(top) = image.chain_ids.last() {
        let stored = pack_whole(shared, top)?;
        config.rootfs.diff_ids = vec![layer::diff_id(&shared.content, &stored)?];
        layer::make(shared, layer::plans(&config.rootfs.diff_ids, vec![stored])?, None)?;
        // Earlier steps stay to be read, without layers of their own.
        config.history.iter_mut().for_each(|step| step.empty_layer = true);
        let created = Some(berth_kit::time::format_nano(Timestamp::now()));
        config.created.clone_from(&created);
        config.history.push(History {
            created,
            created_by: None,
            author: None,
            comment: Some(format!("squashed from {}", image.id)),
            empty_layer: false,
        });
    }
    let id = finish(shared, config, None, name)?;
    let squashed = shared.image(&id)?;
    shared.publish("create", &squashed, name.unwrap_or(id.as_str()));
    Ok(id)
}

/// All layers up to `top`, as they look from above, as one archive in the content store.
fn pack_whole(shared: &Shared, top: &Digest) -> Result<layer::Stored> {
    // What a crash leaves of it is taken for a container that is gone, and swept.
    let key = berth_kit::id::generate();
    shared.snapshots.create(&key, Some(top.as_str()))?;
    let outcome = mount_and_pack(shared, &key);
    shared.snapshots.remove(&key)?;
    outcome
}

fn mount_and_pack(shared: &Shared, key: &str) -> Result<layer::Stored> {
    let mut rootfs = shared.snapshots.rootfs(key)?;
    rootfs.read_only = true;
    // The lowest layer has the mount points that containers need; it is no part of the image.
    rootfs.lower.pop();
    let root = rootfs.mount(None)?;
    let failed = |source| Error::File { act: "make", path: "a pipe".to_owned(), source };
    let (receiver, sender) = std::io::pipe().map_err(failed)?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let output = BufWriter::with_capacity(berth_archive::BUFFER_BYTES, sender);
            let options = TreeOptions { base: Some(".".to_owned()), ..TreeOptions::default() };
            pack::tree(root.as_fd(), Path::new("/"), output, &options).map(drop)
        });
        let stored = layer::store(&shared.content, receiver);
        match packing.join() {
            Ok(Ok(())) => stored,
            Ok(Err(error)) => stored.and(Err(error.into())),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

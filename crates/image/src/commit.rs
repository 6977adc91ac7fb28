//! `commit`: what a container wrote becomes a layer on its image.

use std::{io::BufWriter, os::fd::AsFd, path::PathBuf};

use berth_archive::pack;
use berth_kit::time::Timestamp;
use berth_spec::{
    Digest,
    image::{History, RunConfig},
};

use crate::{
    Error, Images, Result, change,
    collect::Build,
    images::Shared,
    import::{blank, finish, name_of},
    layer,
};

/// What to commit, and as what. The container should be paused meanwhile, or not run.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// The upper directory of the container's root file system.
    pub upper: PathBuf,
    /// Id of the image the container was made from.
    pub parent: Option<Digest>,
    /// The container's configuration, already merged with what the client asked for.
    pub config: RunConfig,
    /// Dockerfile instructions applied to it.
    pub changes: Vec<String>,
    /// Who.
    pub author: String,
    /// Why.
    pub comment: String,
    /// The container's command line, for the history.
    pub created_by: String,
    /// Name of the image; none leaves it without.
    pub repository: String,
    /// Tag of the name.
    pub tag: String,
    /// The container's id, which the configuration keeps.
    pub container: String,
}

impl Images {
    /// Makes an image of a container's changes and gives its id. Without changes the image has its parent's layers.
    ///
    /// # Errors
    /// [`Error::Change`], [`Error::Reference`], [`Error::Missing`] for the parent, [`Error::Unpack`] when a changed file
    /// cannot be read; nothing is stored then.
    pub async fn commit(&self, request: CommitRequest) -> Result<Digest> {
        let name = name_of(&request.repository, &request.tag)?;
        self.blocking(move |shared| {
            let build = Build::begin(shared);
            let outcome = commit(shared, request, name.as_deref());
            build.tidy();
            outcome
        })
        .await
    }
}

fn commit(shared: &Shared, request: CommitRequest, name: Option<&str>) -> Result<Digest> {
    let parent = request.parent.as_ref().map(|id| shared.image(id)).transpose()?;
    let mut config = match &parent {
        Some(parent) => parent.config.clone(),
        None => {
            let mut config = blank("")?;
            config.history.clear();
            config
        }
    };
    config.config = request.config;
    change::apply(&mut config.config, &request.changes)?;
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let created = Some(berth_kit::time::format_nano(Timestamp::now()));
    let is_empty = is_empty(&request.upper)?;
    (config.created, config.author, config.comment) = (created.clone(), some(&request.author), some(&request.comment));
    config.history.push(History {
        created,
        created_by: some(&request.created_by),
        author: some(&request.author),
        comment: some(&request.comment),
        empty_layer: is_empty,
    });
    if !is_empty {
        add_layer(shared, &request.upper, &mut config.rootfs.diff_ids)?;
    }
    // What the parent's writer put beside the configuration tells of the parent's own making.
    for key in ["container", "container_config", "id", "parent"] {
        config.rest.remove(key);
    }
    if !request.container.is_empty() {
        config.rest.insert("container".to_owned(), request.container.into());
    }
    let id = finish(shared, config, request.parent, name)?;
    let image = shared.image(&id)?;
    shared.publish("create", &image, name.unwrap_or(id.as_str()));
    Ok(id)
}

fn is_empty(upper: &std::path::Path) -> Result<bool> {
    let failed = |source| Error::File { act: "read", path: upper.display().to_string(), source };
    Ok(std::fs::read_dir(upper).map_err(failed)?.next().is_none())
}

/// Packs the upper directory straight into the content store, then makes the layer of it.
fn add_layer(shared: &Shared, upper: &std::path::Path, diff_ids: &mut Vec<Digest>) -> Result<()> {
    let failed = |source| Error::File { act: "open", path: upper.display().to_string(), source };
    let directory = std::fs::File::open(upper).map_err(failed)?;
    let (receiver, sender) = std::io::pipe().map_err(failed)?;
    let stored = std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let output = BufWriter::with_capacity(berth_archive::BUFFER_BYTES, sender);
            pack::layer(directory.as_fd(), output).map(drop)
        });
        let stored = layer::store(&shared.content, receiver);
        match packing.join() {
            Ok(Ok(())) => stored,
            Ok(Err(error)) => stored.and(Err(error.into())),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    diff_ids.push(layer::diff_id(&shared.content, &stored)?);
    let chain_ids = crate::record::chain_ids(diff_ids);
    let plan = layer::Plan {
        diff_id: diff_ids[diff_ids.len() - 1].clone(),
        chain_id: chain_ids[chain_ids.len() - 1].clone(),
        parent: chain_ids.len().checked_sub(2).map(|below| chain_ids[below].clone()),
        stored,
        arrival: None,
        pulled_as: None,
    };
    layer::make(shared, vec![plan], None)
}

//! `import`: a root file system as an archive becomes an image of one layer.

use berth_spec::{
    Digest, Platform,
    image::{History, ImageConfig, RootFs},
    progress::Progress,
};

use crate::{
    Error, Images, Result, change,
    collect::Build,
    images::Shared,
    layer, load,
    stream::{ByteStream, ProgressSender, StreamReader, tell},
    tag,
};

/// What to import as.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// Name of the image; none leaves it without.
    pub repository: String,
    /// Tag of the name.
    pub tag: String,
    /// For the history.
    pub message: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// `os/architecture[/variant]`; empty means this machine's.
    pub platform: String,
}

impl Images {
    /// Makes an image of the tar archive in `body`, compressed or not, and gives its id; `progress` gets it too.
    ///
    /// # Errors
    /// [`Error::Change`], [`Error::Reference`], [`Error::Archive`], [`Error::Unpack`]; nothing is stored then.
    pub async fn import(
        &self,
        request: ImportRequest,
        body: ByteStream,
        progress: Option<ProgressSender>,
    ) -> Result<Digest> {
        let name = name_of(&request.repository, &request.tag)?;
        let mut config = blank(&request.platform)?;
        change::apply(&mut config.config, &request.changes)?;
        config.comment = Some(request.message.clone()).filter(|message| !message.is_empty());
        config.history[0].comment.clone_from(&config.comment);
        let reader = StreamReader::new(body);
        self.blocking(move |shared| {
            let build = Build::begin(shared);
            let outcome = import(shared, reader, config, name.as_deref());
            build.tidy();
            let id = outcome?;
            tell(progress.as_ref(), Progress { status: Some(id.to_string()), ..Progress::default() });
            Ok(id)
        })
        .await
    }
}

/// The familiar reference of a name that may be left out.
pub fn name_of(repository: &str, tag: &str) -> Result<Option<String>> {
    if repository.is_empty() { Ok(None) } else { tag::target(repository, tag).map(Some) }
}

/// A configuration without layers, with one step in its history.
pub fn blank(platform: &str) -> Result<ImageConfig> {
    let platform = match platform {
        "" => Platform::host(),
        text => Platform::parse(text)?,
    };
    if platform.os != "linux" {
        return Err(Error::ForeignSystem(platform.os));
    }
    let created = Some(berth_kit::time::format_nano(berth_kit::time::Timestamp::now()));
    Ok(ImageConfig {
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        created: created.clone(),
        rootfs: RootFs { typ: "layers".to_owned(), diff_ids: Vec::new() },
        history: vec![History { created, ..History::default() }],
        ..ImageConfig::default()
    })
}

fn import(shared: &Shared, reader: impl std::io::Read, mut config: ImageConfig, name: Option<&str>) -> Result<Digest> {
    let stored = layer::store(&shared.content, reader)?;
    config.rootfs.diff_ids.push(layer::diff_id(&shared.content, &stored)?);
    layer::make(shared, layer::plans(&config.rootfs.diff_ids, vec![stored])?, None)?;
    let id = finish(shared, config, None, name)?;
    let image = shared.image(&id)?;
    shared.publish("import", &image, name.unwrap_or(id.as_str()));
    Ok(id)
}

/// Record and name of a new image whose layers are here.
pub fn finish(shared: &Shared, config: ImageConfig, parent: Option<Digest>, name: Option<&str>) -> Result<Digest> {
    let bytes = serde_json::to_vec(&config).map_err(|error| Error::archive(format!("configuration: {error}")))?;
    let id = load::store_image(shared, &bytes, config, parent)?;
    if let Some(name) = name {
        let image = shared.image(&id)?;
        shared.put_tag(name, &id)?;
        shared.publish("tag", &image, name);
    }
    Ok(id)
}

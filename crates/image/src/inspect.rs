//! `inspect`: all about one image.

use berth_spec::{
    Digest,
    model::{DriverData, ImageConfig, ImageInspect, ImageInspectMetadata, ImageInspectRootFs},
};

use crate::{Images, Result, resolve::find};

impl Images {
    /// All about the image that `name` means.
    ///
    /// # Errors
    /// As for [`Images::resolve`].
    pub async fn inspect(&self, name: &str) -> Result<ImageInspect> {
        let index = self.shared.snapshot();
        let image = find(&index, name)?;
        let config = &image.config;
        let text = |text: &Option<String>| Some(text.clone().unwrap_or_default());
        let diff_ids = config.rootfs.diff_ids.iter().map(ToString::to_string).collect();
        Ok(ImageInspect {
            id: Some(image.id.to_string()),
            repo_tags: Some(index.tags_of(&image.id).cloned().collect()),
            repo_digests: Some(image.digests.clone()),
            comment: text(&config.comment),
            created: config.created.clone(),
            author: text(&config.author),
            config: Some(run_config(&config.config)),
            architecture: Some(config.architecture.clone()),
            variant: config.variant.clone(),
            os: Some(config.os.clone()),
            size: i64::try_from(index.bytes_of(&image)).ok(),
            graph_driver: Some(DriverData { name: "overlay".to_owned(), data: Default::default() }),
            root_fs: Some(ImageInspectRootFs { typ: config.rootfs.typ.clone(), layers: Some(diff_ids) }),
            metadata: Some(ImageInspectMetadata {
                last_tag_time: index.last_tagged(&image.id).map(berth_kit::time::format_nano),
            }),
            ..ImageInspect::default()
        })
    }
}

impl Images {
    /// The image that the image `name` was made from here, by a commit or a build.
    ///
    /// # Errors
    /// As for [`Images::resolve`].
    pub async fn parent(&self, name: &str) -> Result<Option<Digest>> {
        Ok(find(&self.shared.snapshot(), name)?.parent.clone())
    }
}

/// The run configuration in the Engine API's form.
fn run_config(config: &berth_spec::image::RunConfig) -> ImageConfig {
    let keys = |map: &Option<std::collections::BTreeMap<String, serde_json::Value>>| {
        map.as_ref().map(|map| map.keys().cloned().collect::<Vec<_>>())
    };
    ImageConfig {
        user: Some(config.user.clone()),
        exposed_ports: keys(&config.exposed_ports),
        env: config.env.clone(),
        cmd: config.cmd.clone(),
        healthcheck: config.healthcheck.clone(),
        args_escaped: config.args_escaped,
        volumes: keys(&config.volumes),
        working_dir: Some(config.working_dir.clone()),
        entrypoint: config.entrypoint.clone(),
        on_build: config.on_build.clone(),
        labels: config.labels.clone().map(|labels| labels.into_iter().collect()),
        stop_signal: config.stop_signal.clone(),
        shell: config.shell.clone(),
    }
}

//! `create`: name, image, volumes, snapshot, files, record, event.

use std::sync::Arc;

use berth_image::Image;
use berth_kit::time::Timestamp;
use berth_spec::platform::Platform;

use crate::{
    Containers, CreateRequest, Created, Error, Result,
    containers::Container,
    identity, image_config, mount,
    record::{Attachment, Mount, MountKind, Record, State, Status, VERSION},
    validate,
};

/// How often a random name is tried before a clash is an error.
const NAME_ATTEMPTS: u32 = 64;

impl Containers {
    /// Makes a container that is ready to start. Nothing stays behind when a step fails.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a wrong setting, [`Error::NameTaken`], [`Error::Image`] for a missing image, and
    /// whatever stops volumes or the snapshot from being made.
    pub async fn create(&self, request: CreateRequest) -> Result<Created> {
        let image = self.image_for(&request).await?;
        let mut record = draft(request, &image)?;
        validate::shared_namespaces(&record.config, &record.host)?;
        self.merge_defaults(&mut record);
        self.settle_networks(&mut record)?;
        validate::config(&record.config)?;
        validate::host(&record.host)?;
        if record.command().is_empty() {
            return Err(Error::Invalid("no command specified".to_owned()));
        }
        record.mounts = mount::plan(&record.config, &record.host, self.mounts_of_others(&record)?)?;
        let warnings = self.check(&mut record)?;
        self.reserve_name(&mut record)?;
        match self.build(record, &image).await {
            Ok(container) => {
                self.shared.publish(&container, "create", &[]);
                Ok(Created { id: container.id.clone(), warnings })
            }
            Err((name, error)) => {
                self.shared.free(&name);
                Err(error)
            }
        }
    }

    async fn image_for(&self, request: &CreateRequest) -> Result<Image> {
        if let Some(name) = &request.name {
            validate::name(name.strip_prefix('/').unwrap_or(name))?;
        }
        let reference = request.config.image.as_deref().unwrap_or("");
        if reference.is_empty() {
            return Err(Error::Invalid("config.Image: no image specified".to_owned()));
        }
        let image = self.shared.images.resolve(reference).await?;
        if let Some(wanted) = request.platform.as_deref().filter(|text| !text.is_empty()) {
            let wanted = Platform::parse(wanted).map_err(|error| Error::Invalid(error.to_string()))?;
            if wanted.architecture != image.config.architecture || wanted.os != image.config.os {
                return Err(Error::Invalid(format!(
                    "image with reference {reference} was found but its platform ({}/{}) does not match the specified platform ({wanted})",
                    image.config.os, image.config.architecture
                )));
            }
        }
        Ok(image)
    }

    /// Fills in what the daemon's configuration decides.
    pub(crate) fn merge_defaults(&self, record: &mut Record) {
        let config = &self.shared.config;
        let host = &mut record.host;
        let log = host.log_config.get_or_insert_default();
        if log.typ.as_deref().unwrap_or("").is_empty() {
            log.typ = Some(config.log.driver.clone());
        }
        let options = log.config.get_or_insert_default();
        if log.typ.as_ref() == Some(&config.log.driver) {
            for (key, value) in &config.log.options {
                options.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        if host.shm_size.unwrap_or(0) == 0 {
            host.shm_size = i64::try_from(config.shm_bytes).ok();
        }
        if host.init.is_none() && config.init {
            host.init = Some(true);
        }
        let shares_host_name = host.uts_mode.as_deref() == Some("host") || host.network_mode.as_deref() == Some("host");
        let joins = host.network_mode.as_deref().is_some_and(|mode| mode.starts_with("container:"));
        if record.config.hostname.as_deref().unwrap_or("").is_empty() && !joins {
            record.config.hostname = Some(if shares_host_name {
                identity::host_name()
            } else {
                berth_kit::id::short(&record.id).to_owned()
            });
        }
    }

    /// Checks that need to know the other nouns; collects warnings.
    fn check(&self, record: &mut Record) -> Result<Vec<String>> {
        self.namespaces_of(record, false)?;
        self.check_links(record)?;
        crate::oci_spec::check(record, &self.shared.config)?;
        crate::rootfs::layer_bytes(record)?;
        if let Some(runtime) = record
            .host
            .runtime
            .as_deref()
            .filter(|name| !matches!(*name, "" | "berth" | "runc" | crate::machine::RUNTIME))
        {
            return Err(Error::Invalid(format!("unknown or invalid runtime name: {runtime}")));
        }
        if crate::machine::is_wanted(record) {
            crate::machine::check(record)?;
        }
        let mut warnings = Vec::new();
        let published = record.host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty());
        if published && record.host.network_mode.as_deref() == Some("host") {
            warnings.push("Published ports are discarded when using host network mode".to_owned());
        }
        let hindered = self.shared.networks.first_warnings(record.network_mode());
        warnings.extend(hindered.into_iter().map(|text| text.strip_prefix("WARNING: ").unwrap_or(&text).to_owned()));
        self.shared.discard_missing_controllers(&mut record.host, &mut warnings);
        Ok(warnings)
    }

    /// The mounts of the containers named by `--volumes-from`.
    fn mounts_of_others(&self, record: &Record) -> Result<Vec<Mount>> {
        let mut mounts = Vec::new();
        for text in record.host.volumes_from.iter().flatten() {
            let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
            if name.is_empty() || !mode.split(',').all(|word| matches!(word, "ro" | "rw" | "z" | "Z")) {
                return Err(Error::Invalid(format!("invalid volumes-from specification: '{text}'")));
            }
            // A bad request: were it "not found", clients would take the image for what is missing, and pull it.
            let other = self.shared.find(name).map_err(|error| Error::Invalid(error.to_string()))?;
            let read_only = mode.split(',').any(|word| word == "ro");
            for mount in other.read().mounts.iter().filter(|mount| mount.kind != MountKind::Tmpfs) {
                let mut mount = Mount { anonymous: false, from_image: false, ..mount.clone() };
                mount.writable &= !read_only;
                mounts.retain(|taken: &Mount| taken.destination != mount.destination);
                mounts.push(mount);
            }
        }
        Ok(mounts)
    }

    fn reserve_name(&self, record: &mut Record) -> Result<()> {
        if !record.name.is_empty() {
            return self.shared.reserve(&record.name, &record.id);
        }
        let mut last = None;
        for attempt in 0..NAME_ATTEMPTS {
            record.name = berth_kit::name::random(attempt);
            match self.shared.reserve(&record.name, &record.id) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::Conflict("no free container name".to_owned())))
    }

    /// Makes volumes, snapshot, files and record; undoes all of them on failure, and hands back the reserved name.
    async fn build(&self, mut record: Record, image: &Image) -> std::result::Result<Arc<Container>, (String, Error)> {
        let outcome = self.build_steps(&mut record, image).await;
        match outcome {
            Ok(()) => Ok(self.shared.insert(record)),
            Err(error) => {
                self.discard_files(&record).await;
                Err((record.name, error))
            }
        }
    }

    async fn build_steps(&self, record: &mut Record, image: &Image) -> Result<()> {
        // The record first, as one to be removed: a daemon that dies before the last line finds it and removes what
        // the lines between had made.
        record.state.status = Status::Removing;
        self.shared.save(record)?;
        self.create_snapshot(record, image).await?;
        self.acquire_images(record).await?;
        self.acquire_volumes(record).await?;
        identity::write_first(&self.shared.config.container_dir(&record.id), record)?;
        record.state.status = Status::Created;
        self.shared.save(record)
    }
}

/// The record that a request amounts to, before the daemon's defaults.
fn draft(request: CreateRequest, image: &Image) -> Result<Record> {
    let CreateRequest { name, mut config, host, networking, .. } = request;
    let image_ref = config.image.clone().unwrap_or_default();
    image_config::merge(&mut config, &image.config.config);
    let endpoints = networking.and_then(|networking| networking.endpoints_config).unwrap_or_default();
    Ok(Record {
        version: VERSION,
        id: berth_kit::id::generate(),
        name: name.map(|name| name.strip_prefix('/').unwrap_or(&name).to_owned()).unwrap_or_default(),
        created: Timestamp::now(),
        image_id: image.id.to_string(),
        image_ref,
        config,
        host,
        endpoints: endpoints.into_iter().collect(),
        mounts: Vec::new(),
        state: State::default(),
        restart_count: 0,
        stopped_by_user: false,
        network: Attachment::default(),
    })
}

//! The container's root file system and its volumes: making them, filling them, giving them back.

use std::path::PathBuf;

use berth_image::Image;
use berth_kit::guard::{Guard, stands};

use crate::{
    Containers, Error, Result,
    containers::Container,
    record::{Mount, MountKind, Record},
};

impl Containers {
    /// Makes the writable layer over the image's.
    pub(crate) async fn create_snapshot(&self, record: &Record, image: &Image) -> Result<()> {
        let (snapshots, key, top) = (self.shared.snapshots.clone(), record.id.clone(), image.top.clone());
        // A machine's changes go to a disk of its own, which has the size.
        let limit = layer_bytes(record)?.filter(|_| !crate::machine::is_wanted(record));
        blocking(move || {
            snapshots.create(&key, top.as_deref())?;
            let Some(bytes) = limit else { return Ok(()) };
            snapshots.limit(&key, bytes).inspect_err(|_| {
                // The error that matters is the limit's.
                let _ = snapshots.remove(&key);
            })?;
            Ok(())
        })
        .await?;
        self.shared.images.mark_used(&image.id);
        Ok(())
    }

    /// Makes the named and anonymous volumes of a new container and notes that it uses them.
    pub(crate) async fn acquire_volumes(&self, record: &mut Record) -> Result<()> {
        for index in 0..record.mounts.len() {
            if record.mounts[index].kind != MountKind::Volume {
                continue;
            }
            let mount = record.mounts[index].clone();
            let labels = self.volume_labels(record, &mount);
            let volumes = &self.shared.volumes;
            let volume = volumes.create(&mount.name, &mount.driver, driver_options(record, &mount), labels).await?;
            let source = volumes.acquire(&volume.name, &record.id).await?;
            let slot = &mut record.mounts[index];
            slot.name.clone_from(&volume.name);
            slot.driver.clone_from(&volume.driver);
            slot.source = source.display().to_string();
            let slot = slot.clone();
            if volumes.is_read_only(&slot.name) {
                if slot.writable {
                    return Err(berth_volume::Error::ReadOnly(slot.name).into());
                }
            } else if !slot.no_copy && slot.subpath.is_empty() {
                self.copy_up(record, &slot).await?;
                volumes.restore_owner(&slot.name).await?;
            }
            volumes.rest(&slot.name, &record.id).await;
        }
        Ok(())
    }

    /// Makes a snapshot of each image that a new container mounts: it keeps the layers here.
    pub(crate) async fn acquire_images(&self, record: &mut Record) -> Result<()> {
        for mount in record.mounts.iter_mut().filter(|mount| mount.kind == MountKind::Image) {
            // A bad request: were it "not found", clients would take the container's image for what is missing.
            let image = self.shared.images.resolve(&mount.source).await.map_err(|error| {
                Error::Invalid(format!("invalid mount config for type \"image\": {error}: pull it first"))
            })?;
            mount.snapshot = berth_kit::id::generate();
            let (snapshots, key) = (self.shared.snapshots.clone(), mount.snapshot.clone());
            blocking(move || Ok(snapshots.create(&key, image.top.as_deref())?)).await?;
        }
        Ok(())
    }

    /// The layers of each image that the record mounts, by the path that stands for it in the bundle.
    pub(crate) fn layered_mounts(&self, record: &Record) -> Result<Vec<(PathBuf, berth_runtime::Layered)>> {
        let mut layered = Vec::new();
        for (index, mount) in record.mounts.iter().enumerate().filter(|(_, mount)| mount.kind == MountKind::Image) {
            let mut rootfs = self.shared.snapshots.rootfs(&mount.snapshot)?;
            rootfs.read_only = true;
            // The mount points that a container needs are none of the image's.
            if rootfs.lower.len() > 1 {
                rootfs.lower.retain(|layer| !layer.ends_with("skeleton"));
            }
            let layers = berth_runtime::Layered { rootfs, subpath: mount.subpath.clone() };
            layered.push((self.image_place(record, index), layers));
        }
        Ok(layered)
    }

    fn image_place(&self, record: &Record, index: usize) -> PathBuf {
        self.shared.config.bundle_dir(&record.id).join(format!("image-{index}"))
    }

    fn volume_labels(&self, record: &Record, mount: &Mount) -> std::collections::HashMap<String, String> {
        let wanted =
            record.host.mounts.iter().flatten().find(|wanted| wanted.target.as_deref() == Some(&mount.destination));
        let mut labels = wanted
            .and_then(|wanted| wanted.volume_options.clone())
            .and_then(|options| options.labels)
            .unwrap_or_default();
        if mount.anonymous {
            labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
        }
        labels
    }

    /// How to mount the record's root. One that goes with its container is not kept safe from a crash of the machine.
    pub(crate) fn rootfs_of(&self, record: &Record) -> Result<berth_snapshot::Rootfs> {
        let rootfs = self.shared.snapshots.rootfs(&record.id)?;
        Ok(berth_snapshot::Rootfs { volatile: record.auto_remove(), ..rootfs })
    }

    /// Fills an empty volume with what the image has at its place.
    async fn copy_up(&self, record: &Record, mount: &Mount) -> Result<()> {
        let rootfs = self.rootfs_of(record)?;
        let (target, inside) = (PathBuf::from(&mount.source), mount.destination.clone());
        blocking(move || {
            if std::fs::read_dir(&target).map_err(|error| Error::file("read volume", &target, error))?.next().is_some()
            {
                return Ok(());
            }
            let root = if stands(Guard::CopyUpBeneath) {
                rootfs.mount(None)?
            } else {
                std::fs::File::open("/").map_err(|error| Error::file("open", "/".as_ref(), error))?.into()
            };
            crate::archive::copy_tree(&root, &inside, &target)
        })
        .await
    }

    /// Host paths of the record's mounts, in its order; missing bind sources are made or refused.
    pub(crate) async fn mount_sources(&self, record: &Record) -> Result<Vec<PathBuf>> {
        let mut sources = Vec::with_capacity(record.mounts.len());
        for (index, mount) in record.mounts.iter().enumerate() {
            sources.push(match mount.kind {
                MountKind::Tmpfs => PathBuf::new(),
                MountKind::Image => self.image_place(record, index),
                MountKind::Volume => {
                    let root = self.shared.volumes.acquire(&mount.name, &record.id).await?;
                    if !mount.subpath.is_empty() {
                        open_below(&root, &mount.subpath)?;
                    }
                    match mount.subpath.is_empty() || !crate::machine::is_wanted(record) {
                        // The runtime goes to the part itself, when it mounts it.
                        true => root,
                        false => subpath(&root, &mount.subpath)?,
                    }
                }
                MountKind::Bind => {
                    let source = bind_source(mount)?;
                    crate::mount::propagation::check(&source, &mount.propagation)?;
                    source
                }
            });
        }
        Ok(sources)
    }

    /// Gives back snapshot, files and volumes of a container that is going away; failures are logged, since each
    /// step must be tried and `recover` tries again.
    pub(crate) async fn discard_files(&self, record: &Record) {
        let warn = |act: &str, error: &(dyn std::error::Error + 'static)| {
            tracing::warn!(container = record.id, error, "cannot {act}");
        };
        for mount in record.mounts.iter().filter(|mount| mount.kind == MountKind::Volume && !mount.name.is_empty()) {
            self.shared.volumes.release(&mount.name, &record.id).await;
        }
        let of_images = record.mounts.iter().map(|mount| mount.snapshot.clone()).filter(|key| !key.is_empty());
        for key in of_images.chain([record.id.clone()]) {
            let snapshots = self.shared.snapshots.clone();
            let removed = tokio::task::spawn_blocking(move || snapshots.remove(&key)).await;
            if let Ok(Err(error)) = removed {
                warn("remove the container's layer", &error);
            }
        }
        for dir in [self.shared.config.container_dir(&record.id), self.shared.config.bundle_dir(&record.id)] {
            match tokio::fs::remove_dir_all(&dir).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    warn("remove the container's files", &error)
                }
                _ => {}
            }
        }
        let durability =
            if record.auto_remove() { berth_record::Durability::Crash } else { berth_record::Durability::Power };
        if let Err(error) = self.shared.store.delete(crate::record::TABLE, &record.id, durability) {
            warn("delete the container's record", &error);
        }
    }

    /// The root file system as seen from the host: the running container's own, or a mount made for the caller.
    pub(crate) async fn open_root(&self, container: &Container) -> Result<Root> {
        let state = container.read().state.clone();
        let id = container.id.clone();
        if state.status.is_alive() {
            let path = format!("/proc/{}/root", state.pid);
            let fd = rustix::fs::open(
                &path,
                rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )
            .map_err(|errno| Error::File { act: "open root of", path: id, source: errno.into() })?;
            let shift = state.id_range.map_or(0, |range| range.host_base);
            return Ok(Root { fd, shift, _held: None });
        }
        let rootfs = self.rootfs_of(&container.read().clone())?;
        let fd = blocking(move || Ok(rootfs.mount(None)?)).await?;
        Ok(Root { fd, shift: 0, _held: None })
    }
}

/// A root file system that the host can read and write.
pub(crate) struct Root {
    /// Its directory.
    pub fd: std::os::fd::OwnedFd,
    /// What to add to an id of the container to have the id on disk.
    pub shift: u32,
    /// The volume that it is, mounted meanwhile.
    pub _held: Option<berth_volume::Held>,
}

/// The size of the container's own layer: `--storage-opt size=`, the only option there is.
pub(crate) fn layer_bytes(record: &Record) -> Result<Option<u64>> {
    let mut limit = None;
    for (key, value) in record.host.storage_opt.iter().flatten() {
        if !key.eq_ignore_ascii_case("size") {
            return Err(Error::Invalid(format!("unknown option in storage-opt: {key}")));
        }
        let bytes = berth_kit::size::parse_bytes(value).map_err(|error| Error::Invalid(error.to_string()))?;
        limit = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    }
    Ok(limit)
}

fn driver_options(record: &Record, mount: &Mount) -> std::collections::HashMap<String, String> {
    let wanted =
        record.host.mounts.iter().flatten().find(|wanted| wanted.target.as_deref() == Some(&mount.destination));
    wanted
        .and_then(|wanted| wanted.volume_options.clone())
        .and_then(|options| options.driver_config)
        .and_then(|driver| driver.options)
        .unwrap_or_default()
}

fn bind_source(mount: &Mount) -> Result<PathBuf> {
    let path = PathBuf::from(&mount.source);
    if !path.exists() {
        if !mount.create_source {
            return Err(Error::Invalid(format!("bind source path does not exist: {}", mount.source)));
        }
        std::fs::create_dir_all(&path).map_err(|error| {
            Error::Invalid(format!("error while creating mount source path '{}': {error}", mount.source))
        })?;
    }
    Ok(path)
}

/// Opens what lies at a path inside a volume, with the volume as `/` for every link on the way.
pub(crate) fn open_below(root: &std::path::Path, inside: &str) -> Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags, ResolveFlags};
    let failed = |errno: rustix::io::Errno| {
        Error::Invalid(format!("cannot access path {}/{inside}: {}", root.display(), std::io::Error::from(errno)))
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(&top, inside, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            other => return other.map_err(failed),
        }
    }
}

/// A path inside a volume, resolved without leaving it. For machines, whose shares are named by paths.
fn subpath(root: &std::path::Path, inside: &str) -> Result<PathBuf> {
    let path = root.join(inside);
    // PATH: of a machine, whose share a process of the host serves by name from its own sandbox.
    let resolved = path
        .canonicalize()
        .map_err(|error| Error::Invalid(format!("cannot access path {}: {error}", path.display())))?;
    // PATH: the volume's own folder.
    let root = root.canonicalize().map_err(|error| Error::file("resolve volume", root, error))?;
    if resolved.starts_with(&root) {
        Ok(resolved)
    } else {
        Err(Error::Invalid(format!("subpath {inside} escapes its volume")))
    }
}

/// Runs `act` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

//! The long form: an object with type, source, target and options.

use berth_spec::model::{Mount as Spec, MountType};

use crate::{
    Error, Result,
    record::{Mount, MountKind},
};

/// Reads one `Mounts` entry.
///
/// # Errors
/// [`Error::Invalid`] with the field that is wrong and Docker's text.
pub fn read(spec: &Spec) -> Result<Mount> {
    let target = spec.target.as_deref().unwrap_or("");
    if target.is_empty() {
        return Err(invalid(spec, "field Target must not be empty"));
    }
    let mut mount = super::volume(String::new(), super::clean(target)?);
    mount.writable = !spec.read_only.unwrap_or(false);
    mount.mode = "z".to_owned();
    match spec.typ {
        Some(MountType::BIND) => bind(spec, &mut mount)?,
        Some(MountType::VOLUME) => volume(spec, &mut mount)?,
        Some(MountType::TMPFS) => tmpfs(spec, &mut mount)?,
        Some(MountType::IMAGE) => image(spec, &mut mount)?,
        Some(MountType::CLUSTER) => return Err(Error::NotBuilt("a mount of type cluster")),
        _ => return Err(invalid(spec, "mount type unknown")),
    }
    Ok(mount)
}

fn invalid(spec: &Spec, why: &str) -> Error {
    let kind = spec.typ.map_or_else(String::new, |typ| typ.to_string());
    Error::Invalid(format!("invalid mount config for type \"{kind}\": {why}"))
}

fn bind(spec: &Spec, mount: &mut Mount) -> Result<()> {
    let source = spec.source.as_deref().unwrap_or("");
    if source.is_empty() {
        return Err(invalid(spec, "field Source must not be empty"));
    }
    if !source.starts_with('/') {
        return Err(invalid(spec, &format!("invalid mount path: '{source}' mount path must be absolute")));
    }
    if spec.volume_options.is_some() {
        return Err(invalid(spec, "field VolumeOptions must not be specified"));
    }
    let options = spec.bind_options.clone().unwrap_or_default();
    mount.kind = MountKind::Bind;
    mount.driver.clear();
    mount.mode.clear();
    mount.source = source.to_owned();
    mount.create_source = options.create_mountpoint.unwrap_or(false);
    mount.non_recursive = options.non_recursive.unwrap_or(false);
    mount.read_only_top = options.read_only_non_recursive.unwrap_or(false);
    if options.read_only_force_recursive.unwrap_or(false) {
        if mount.writable {
            return Err(invalid(spec, "option ReadOnlyForceRecursive needs ReadOnly"));
        }
        if mount.read_only_top {
            return Err(invalid(spec, "options ReadOnlyForceRecursive and ReadOnlyNonRecursive exclude each other"));
        }
    }
    mount.propagation = match options.propagation.map(|propagation| propagation.to_string()) {
        Some(propagation) if !propagation.is_empty() => propagation,
        _ => "rprivate".to_owned(),
    };
    if !mount.create_source && !std::path::Path::new(source).exists() {
        return Err(invalid(spec, &format!("bind source path does not exist: {source}")));
    }
    Ok(())
}

fn volume(spec: &Spec, mount: &mut Mount) -> Result<()> {
    if spec.bind_options.is_some() {
        return Err(invalid(spec, "field BindOptions must not be specified"));
    }
    let name = spec.source.clone().unwrap_or_default();
    if !name.is_empty() && !berth_kit::name::is_valid(&name) {
        return Err(invalid(spec, &format!("\"{name}\" includes invalid characters for a local volume name")));
    }
    let options = spec.volume_options.clone().unwrap_or_default();
    mount.anonymous = name.is_empty();
    mount.name = name;
    mount.no_copy = options.no_copy.unwrap_or(false);
    mount.subpath = options.subpath.unwrap_or_default();
    check_subpath(spec, mount)?;
    if let Some(driver) = options.driver_config.and_then(|driver| driver.name).filter(|name| !name.is_empty()) {
        mount.driver = driver;
    }
    Ok(())
}

fn image(spec: &Spec, mount: &mut Mount) -> Result<()> {
    let source = spec.source.as_deref().unwrap_or("");
    if source.is_empty() {
        return Err(invalid(spec, "field Source must not be empty"));
    }
    for (given, field) in [
        (spec.bind_options.is_some(), "field BindOptions must not be specified"),
        (spec.volume_options.is_some(), "field VolumeOptions must not be specified"),
        (spec.tmpfs_options.is_some(), "field TmpfsOptions must not be specified"),
    ] {
        if given {
            return Err(invalid(spec, field));
        }
    }
    mount.kind = MountKind::Image;
    mount.mode.clear();
    source.clone_into(&mut mount.source);
    // Whatever is asked for: an image never changes.
    mount.writable = false;
    mount.subpath = spec.image_options.clone().unwrap_or_default().subpath.unwrap_or_default();
    check_subpath(spec, mount)
}

/// A path inside a volume or image, which must not lead out of it.
fn check_subpath(spec: &Spec, mount: &Mount) -> Result<()> {
    if mount.subpath.starts_with('/') || mount.subpath.split('/').any(|part| part == "..") {
        return Err(invalid(spec, "subpath must be a relative path within the volume"));
    }
    Ok(())
}

fn tmpfs(spec: &Spec, mount: &mut Mount) -> Result<()> {
    if spec.source.as_deref().is_some_and(|source| !source.is_empty()) {
        return Err(invalid(spec, "field Source must not be specified"));
    }
    let options = spec.tmpfs_options.clone().unwrap_or_default();
    mount.kind = MountKind::Tmpfs;
    mount.driver.clear();
    mount.mode.clear();
    if let Some(bytes) = options.size_bytes.filter(|bytes| *bytes != 0) {
        if bytes < 0 {
            return Err(invalid(spec, "field SizeBytes must not be negative"));
        }
        mount.tmpfs_options.push(format!("size={bytes}"));
    }
    if let Some(mode) = options.mode.filter(|mode| *mode != 0) {
        mount.tmpfs_options.push(format!("mode={mode:o}"));
    }
    for option in options.options.iter().flatten() {
        match option.as_slice() {
            [flag] if matches!(flag.as_str(), "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev") => {
                mount.tmpfs_options.push(flag.clone());
            }
            [key, value] if matches!(key.as_str(), "uid" | "gid" | "nr_inodes" | "nr_blocks") => {
                mount.tmpfs_options.push(format!("{key}={value}"));
            }
            other => return Err(invalid(spec, &format!("unknown option {:?}", other.join("=")))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_do_not_fit_are_named() {
        let spec = |typ, source: &str, target: &str| Spec {
            typ: Some(typ),
            source: Some(source.to_owned()),
            target: Some(target.to_owned()),
            ..Spec::default()
        };
        for (spec, field) in [
            (spec(MountType::BIND, "", "/x"), "Source"),
            (spec(MountType::BIND, "/does/not/exist", "/x"), "bind source path does not exist"),
            (spec(MountType::TMPFS, "/a", "/x"), "Source"),
            (spec(MountType::VOLUME, "v", ""), "Target"),
            (spec(MountType::VOLUME, "../v", "/x"), "invalid characters"),
            (spec(MountType::VOLUME, "v", "x"), "absolute"),
            (spec(MountType::IMAGE, "", "/x"), "Source"),
        ] {
            let error = read(&spec).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}

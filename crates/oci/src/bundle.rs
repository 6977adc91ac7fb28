//! A bundle of the caller's, made ready for the runtime.

use std::path::{Path, PathBuf};

use berth_runtime::cgroup::{self, CgroupPath};
use berth_runtime::{Bundle, Extension};
use oci_spec::runtime::Spec;

use crate::error::{Error, Result};
use crate::grammar::Call;
use crate::rootless;

/// Reads `config.json` of the directory of `--bundle`.
pub fn load(call: &Call) -> Result<Bundle> {
    let dir = PathBuf::from(call.text("bundle").filter(|dir| !dir.is_empty()).unwrap_or("."));
    // PATH: named by the caller of the runtime.
    let dir = dir.canonicalize().map_err(Error::file("open the bundle", &dir))?;
    let path = dir.join("config.json");
    let text = std::fs::read(&path).map_err(Error::file("read", &path))?;
    let mut spec: Spec = serde_json::from_slice(&text).map_err(|source| Error::Parse { path, source })?;
    check_version(&spec)?;
    place_groups(&mut spec, call)?;
    rootless::translate(&mut spec)?;
    let extension = Extension { systemd: call.global.systemd_cgroup, ..Extension::default() };
    Ok(Bundle { dir, spec, extension })
}

/// The bundle of a container that exists.
pub fn known(dir: &Path, spec: Spec) -> Bundle {
    Bundle { dir: dir.to_owned(), spec, extension: Extension::default() }
}

fn check_version(spec: &Spec) -> Result<()> {
    if spec.version().starts_with("1.") {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "unsupported ociVersion {:?} (1.0.0 to {} are known)",
        spec.version(),
        crate::SPEC_VERSION
    )))
}

/// Every container gets control groups of its own; systemd's spelling of a path is turned into the path that systemd
/// gives it.
fn place_groups(spec: &mut Spec, call: &Call) -> Result<()> {
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    let given = linux.cgroups_path().as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let path = match (given.as_str(), call.global.systemd_cgroup) {
        ("", true) => slice_path("system.slice", "berth", call.id()),
        ("", false) => format!("{}/{}", CgroupPath::DEFAULT_PARENT, call.id()),
        (given, true) => match given.split(':').collect::<Vec<_>>().as_slice() {
            [slice, prefix, name] => slice_path(slice, prefix, name),
            _ => {
                return Err(Error::Usage(format!(
                    "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {given:?} instead"
                )));
            }
        },
        (given, false) => given.to_owned(),
    };
    linux.set_cgroups_path(Some(PathBuf::from(path)));
    Ok(())
}

/// Where systemd puts a unit: `a-b.slice` lies in `a.slice`.
fn slice_path(slice: &str, prefix: &str, name: &str) -> String {
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    let unit = if name.ends_with(".slice") {
        name.to_owned()
    } else if prefix.is_empty() {
        format!("{name}.scope")
    } else {
        format!("{prefix}-{name}.scope")
    };
    format!("{}/{unit}", cgroup::slice_path(slice))
}

#[cfg(test)]
mod tests {
    use super::slice_path;

    #[test]
    fn slices_nest() {
        assert_eq!(slice_path("system.slice", "docker", "abc"), "/system.slice/docker-abc.scope");
        assert_eq!(slice_path("kube-pods.slice", "", "x"), "/kube.slice/kube-pods.slice/x.scope");
        assert_eq!(slice_path("", "cri", "x"), "/system.slice/cri-x.scope");
    }
}

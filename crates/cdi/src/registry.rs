//! The devices that the files of some directories describe.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    ContainerEdits, Error, Name, Result,
    format::{Device, Spec},
    name,
};

/// The largest file, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// The most files of a directory that are looked at.
const FILES_MAX: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Registry {
    devices: BTreeMap<Name, Described>,
    problems: Vec<String>,
}

#[derive(Debug)]
struct Described {
    edits: ContainerEdits,
    /// Of its file.
    shared: Arc<Shared>,
    /// The place of its directory; a later one wins.
    rank: usize,
    /// Described twice in directories of one rank: nobody can tell which is meant.
    ambiguous: bool,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    edits: ContainerEdits,
}

impl Registry {
    /// Reads all files `*.json`, `*.yaml` and `*.yml` of the directories, of which a later one wins. What cannot be read hides
    /// nothing else: see [`problems`](Self::problems).
    #[must_use]
    pub fn scan(dirs: &[PathBuf]) -> Self {
        let mut registry = Self::default();
        for (rank, dir) in dirs.iter().enumerate() {
            for path in files(dir) {
                match read(&path) {
                    Ok(spec) => registry.add(spec, path, rank),
                    Err(error) => registry.problems.push(error.to_string()),
                }
            }
        }
        registry
    }

    fn add(&mut self, spec: Spec, path: PathBuf, rank: usize) {
        let Spec { kind, devices, container_edits, .. } = spec;
        let shared = Arc::new(Shared { path, edits: container_edits });
        for Device { name, container_edits: edits, .. } in devices {
            let name = Name { kind: kind.clone(), device: name };
            let described = Described { edits, shared: shared.clone(), rank, ambiguous: false };
            match self.devices.get_mut(&name) {
                Some(known) if known.rank == rank => {
                    known.ambiguous = true;
                    let (one, other) = (known.shared.path.display(), shared.path.display());
                    self.problems.push(format!("{name} is described by both {one} and {other}"));
                }
                _ => drop(self.devices.insert(name, described)),
            }
        }
    }

    /// The names of all devices that can be had.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.devices.iter().filter(|(_, described)| !described.ambiguous).map(|(name, _)| name)
    }

    /// What could not be used, for people.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The edits for devices, in the order in which they are to be made: those of a file once, before its first device's.
    ///
    /// # Errors
    /// [`Error::Unresolvable`] names all that are not described.
    pub fn resolve(&self, names: &[Name]) -> Result<Vec<ContainerEdits>> {
        let known = |name: &Name| self.devices.get(name).filter(|described| !described.ambiguous);
        let unknown: Vec<_> = names.iter().filter(|name| known(name).is_none()).map(ToString::to_string).collect();
        if !unknown.is_empty() {
            return Err(Error::Unresolvable { names: unknown, problems: self.problems.clone() });
        }
        let (mut edits, mut seen) = (Vec::new(), Vec::new());
        for described in names.iter().filter_map(known) {
            if !seen.contains(&&described.shared.path) {
                seen.push(&described.shared.path);
                edits.push(described.shared.edits.clone());
            }
            edits.push(described.edits.clone());
        }
        Ok(edits)
    }
}

/// The files of a directory that may be descriptions, by name.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let wanted = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "json" || extension == "yaml" || extension == "yml")
    };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(wanted).take(FILES_MAX).collect();
    found.sort();
    found
}

fn read(path: &Path) -> Result<Spec> {
    let refused = |why: String| Error::File { path: path.to_owned(), why };
    let mut text = String::new();
    // A FIFO of that name holds nobody up.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = file.map_err(|error| refused(error.to_string()))?;
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return Err(refused("not a file".to_owned()));
    }
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(|error| refused(error.to_string()))?;
    if text.len() as u64 > FILE_MAX {
        return Err(refused(format!("larger than {FILE_MAX} bytes")));
    }
    parse(&text, path.extension().is_some_and(|extension| extension == "json")).map_err(refused)
}

/// A description from its text.
///
/// # Errors
/// What is wrong, with its place.
pub fn parse(text: &str, json: bool) -> std::result::Result<Spec, String> {
    let spec: Spec = match json {
        true => serde_json::from_str(text).map_err(|error| error.to_string())?,
        false => serde_saphyr::from_str(text).map_err(|error| error.to_string())?,
    };
    let major = spec.cdi_version.trim_start_matches('v').split('.').next();
    if !matches!(major, Some("0" | "1")) {
        return Err(format!("cdiVersion {} is not one of 0.x and 1.x", spec.cdi_version));
    }
    if !name::is_kind(&spec.kind) {
        return Err(format!("kind {:?} is not of the form vendor.com/class", spec.kind));
    }
    if spec.devices.is_empty() {
        return Err("it describes no device".to_owned());
    }
    let mut seen = Vec::new();
    for device in &spec.devices {
        if !name::is_device(&device.name) {
            return Err(format!("{:?} is no name for a device", device.name));
        }
        if seen.contains(&&device.name) {
            return Err(format!("device {} is described twice", device.name));
        }
        seen.push(&device.name);
        check(&device.container_edits).map_err(|why| format!("device {}: {why}", device.name))?;
    }
    check(&spec.container_edits)?;
    Ok(spec)
}

fn check(edits: &ContainerEdits) -> std::result::Result<(), String> {
    if let Some(entry) = edits.env.iter().find(|entry| entry.find('=').is_none_or(|at| at == 0)) {
        return Err(format!("env {entry:?} is not of the form NAME=value"));
    }
    for node in &edits.device_nodes {
        if !node.path.starts_with('/') || node.host_path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            return Err(format!("device node {:?}: paths must be absolute", node.path));
        }
        if node.r#type.as_ref().is_some_and(|kind| !matches!(kind.as_str(), "" | "b" | "c" | "u" | "p")) {
            return Err(format!("device node {}: its type must be one of b, c, u, p", node.path));
        }
        if node.permissions.as_ref().is_some_and(|access| !access.bytes().all(|byte| b"rwm".contains(&byte))) {
            return Err(format!("device node {}: permissions are of r, w and m", node.path));
        }
    }
    if let Some(mount) = edits.mounts.iter().find(|mount| !mount.container_path.starts_with('/')) {
        return Err(format!("mount at {:?}: the path must be absolute", mount.container_path));
    }
    match edits.hooks.iter().find(|hook| !hook.path.starts_with('/')) {
        Some(hook) => Err(format!("hook {:?}: the path must be absolute", hook.path)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIC: &str = r#"{"cdiVersion": "0.6.0", "kind": "vendor.com/nic", "containerEdits": {"env": ["ALL=1"]},
        "devices": [{"name": "nic0", "containerEdits": {"env": ["NIC=0"]}}, {"name": "nic1", "containerEdits": {}}]}"#;
    const GPU: &str = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: '0'\n  containerEdits:\n    deviceNodes:\n    - path: /dev/null\n";

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn files_of_both_forms_are_found_and_a_files_edits_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("nic.json"), NIC).unwrap();
        fs::write(dir.path().join("gpu.yaml"), GPU).unwrap();
        fs::write(dir.path().join("readme.txt"), "no description").unwrap();
        let registry = Registry::scan(&[dir.path().join("none"), dir.path().to_owned()]);
        let found: Vec<_> = registry.names().map(ToString::to_string).collect();
        assert_eq!(found, ["nvidia.com/gpu=0", "vendor.com/nic=nic0", "vendor.com/nic=nic1"]);
        assert!(registry.problems().is_empty(), "{:?}", registry.problems());
        let edits = registry.resolve(&names(&["vendor.com/nic=nic1", "vendor.com/nic=nic0"])).unwrap();
        let env: Vec<_> = edits.iter().flat_map(|edit| edit.env.clone()).collect();
        assert_eq!(env, ["ALL=1", "NIC=0"]);
    }

    #[test]
    fn a_later_directory_wins_and_twice_in_one_is_nobody() {
        let (weak, strong) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(weak.path().join("a.json"), NIC).unwrap();
        fs::write(strong.path().join("a.json"), NIC.replace("NIC=0", "NIC=strong")).unwrap();
        let dirs = [weak.path().to_owned(), strong.path().to_owned()];
        let edits = Registry::scan(&dirs).resolve(&names(&["vendor.com/nic=nic0"])).unwrap();
        assert_eq!(edits[1].env, ["NIC=strong"]);
        fs::write(strong.path().join("b.json"), NIC).unwrap();
        let error = Registry::scan(&dirs).resolve(&names(&["vendor.com/nic=nic0"])).unwrap_err().to_string();
        assert!(error.contains("unresolvable CDI devices vendor.com/nic=nic0") && error.contains("b.json"), "{error}");
    }

    #[test]
    fn a_bad_file_is_named_and_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("nic.json"), NIC).unwrap();
        fs::write(dir.path().join("bad.yaml"), "kind: [").unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("fifo.json"), rustix::fs::Mode::RWXU).unwrap();
        fs::write(dir.path().join("large.json"), " ".repeat(FILE_MAX as usize + 1)).unwrap();
        let registry = Registry::scan(&[dir.path().to_owned()]);
        assert_eq!(registry.names().count(), 2);
        assert_eq!(registry.problems().len(), 3, "{:?}", registry.problems());
    }

    #[test]
    fn hostile_descriptions_are_refused() {
        let with = |edits: &str| {
            format!(
                r#"{{"cdiVersion": "1.0.0", "kind": "v.com/c", "devices": [{{"name": "d", "containerEdits": {edits}}}]}}"#
            )
        };
        for (bad, why) in [
            (with(r#"{"env": ["=x"]}"#), "NAME=value"),
            (with(r#"{"env": ["x"]}"#), "NAME=value"),
            (with(r#"{"deviceNodes": [{"path": "dev/x"}]}"#), "absolute"),
            (with(r#"{"deviceNodes": [{"path": "/dev/x", "type": "q"}]}"#), "one of b, c, u, p"),
            (with(r#"{"deviceNodes": [{"path": "/dev/x", "permissions": "rx"}]}"#), "r, w and m"),
            (with(r#"{"mounts": [{"hostPath": "/a", "containerPath": "b"}]}"#), "absolute"),
            (with(r#"{"hooks": [{"hookName": "createRuntime", "path": "x"}]}"#), "absolute"),
            (with(r#"{"hooks": [{"hookName": "never", "path": "/x"}]}"#), "unknown variant"),
            (with(r#"{"unknown": 1}"#), "unknown field"),
            (NIC.replace("0.6.0", "9.0"), "cdiVersion"),
            (NIC.replace("vendor.com/nic", "nic"), "kind"),
            (NIC.replace("nic1", "nic0"), "twice"),
            (NIC.replace("nic1", "../x"), "no name"),
            (r#"{"cdiVersion": "1.0.0", "kind": "v.com/c", "devices": []}"#.to_owned(), "no device"),
        ] {
            let said = parse(&bad, true).unwrap_err();
            assert!(said.contains(why), "{said}: {bad}");
        }
        let bomb = format!("a: &a [{}]\nb: [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n", "x,".repeat(1000)).repeat(3);
        assert!(parse(&bomb, false).is_err());
    }
}

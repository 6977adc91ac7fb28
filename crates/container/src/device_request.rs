//! `--gpus` and `--device vendor.com/class=name`: from what was asked to the edits of vendors' descriptions (CDI).

use std::path::PathBuf;

use berth_cdi::{ContainerEdits, Name, Registry};
use berth_spec::model::{DeviceRequest, HostConfig};

use crate::{Containers, Error, Result, record::Record};

/// The driver of requests by qualified name.
const CDI: &str = "cdi";
/// Kinds of graphics processors by the name of their driver, in the order in which one is looked for when none is named.
const GPU_KINDS: &[(&str, &str)] = &[("nvidia", "nvidia.com/gpu"), ("amd", "amd.com/gpu"), ("intel", "intel.com/gpu")];
/// The device of a kind that stands for all of them.
const ALL: &str = "all";

impl Containers {
    /// Where vendors' descriptions of devices are looked for, and what they describe now, by qualified name.
    #[must_use]
    pub fn described_devices(&self) -> (&[PathBuf], Vec<String>) {
        let dirs = &self.shared.config.cdi_dirs;
        (dirs, Registry::scan(dirs).names().map(ToString::to_string).collect())
    }

    /// Moves the network interfaces of requested devices into the container's network namespace.
    pub(crate) fn move_net_devices(&self, record: &Record, pid: i32) -> Result<()> {
        let edits = resolve(&record.host, &self.shared.config.cdi_dirs)?;
        let devices = edits.iter().flat_map(|edit| &edit.net_devices);
        let names: Vec<_> = devices.map(|device| (device.host_interface_name.as_str(), device.name.as_str())).collect();
        if names.is_empty() {
            return Ok(());
        }
        berth_network::net_device::move_all(names, pid).map_err(Error::Network)
    }
}

/// Checks the form of what is asked for; whether it is there is asked at the start.
///
/// # Errors
/// [`Error::Invalid`] names the request.
pub fn check(host: &HostConfig) -> Result<()> {
    for request in host.device_requests.iter().flatten() {
        let ids = request.device_ids.as_deref().unwrap_or_default();
        if request.driver.as_deref() == Some(CDI) {
            ids.iter()
                .try_for_each(|id| id.parse::<Name>().map(drop).map_err(|error| Error::Invalid(error.to_string())))?;
        } else if request.count.is_some_and(|count| count != 0) && !ids.is_empty() {
            return Err(Error::Invalid("cannot set both Count and DeviceIDs on device request".to_owned()));
        }
    }
    Ok(())
}

/// The edits that make what is asked for usable, from the descriptions in `dirs`.
///
/// # Errors
/// [`Error::Invalid`] when no driver can serve a request, [`Error::Devices`] for devices that nobody describes.
pub fn resolve(host: &HostConfig, dirs: &[PathBuf]) -> Result<Vec<ContainerEdits>> {
    let requests = host.device_requests.as_deref().unwrap_or_default();
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let registry = Registry::scan(dirs);
    let mut names = Vec::new();
    for request in requests {
        for name in wanted(request, &registry)? {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    registry.resolve(&names).map_err(Error::Devices)
}

fn wanted(request: &DeviceRequest, registry: &Registry) -> Result<Vec<Name>> {
    let ids = request.device_ids.as_deref().unwrap_or_default();
    let driver = request.driver.as_deref().unwrap_or_default();
    if driver == CDI {
        return ids
            .iter()
            .map(|id| id.parse().map_err(|error: berth_cdi::Error| Error::Invalid(error.to_string())))
            .collect();
    }
    let kind = gpu_kind(driver, request, registry).ok_or_else(|| no_driver(driver, request))?;
    if !ids.is_empty() {
        return Ok(ids.iter().map(|id| Name { kind: kind.to_owned(), device: id.clone() }).collect());
    }
    let of_kind = || registry.names().filter(|name| name.kind == kind);
    let count = usize::try_from(request.count.unwrap_or(0)).ok();
    if count.is_none()
        && let Some(all) = of_kind().find(|name| name.device == ALL)
    {
        return Ok(vec![all.clone()]);
    }
    // Descriptions also list each device by other names: those that are numbers stand for one each.
    let mut numbered: Vec<_> =
        of_kind().filter_map(|name| Some((name.device.parse::<u32>().ok()?, name.clone()))).collect();
    numbered.sort();
    match count {
        Some(count) if count > numbered.len() => Err(Error::Invalid(format!(
            "{count} devices of kind {kind} were asked for, and this host describes {}",
            numbered.len()
        ))),
        Some(count) => Ok(numbered.into_iter().take(count).map(|(_, name)| name).collect()),
        None if numbered.is_empty() => Ok(of_kind().cloned().collect()),
        None => Ok(numbered.into_iter().map(|(_, name)| name).collect()),
    }
}

/// The kind that serves a request for graphics processors.
fn gpu_kind(driver: &str, request: &DeviceRequest, registry: &Registry) -> Option<&'static str> {
    let described = |kind: &str| registry.names().any(|name| name.kind == kind);
    if !driver.is_empty() {
        return GPU_KINDS.iter().find(|(name, kind)| *name == driver && described(kind)).map(|(_, kind)| *kind);
    }
    let any_of = request.capabilities.as_deref().unwrap_or_default();
    let asks_gpu = any_of.iter().any(|all_of| all_of.iter().any(|capability| capability == "gpu"));
    let named = |vendor: &str| any_of.iter().any(|all_of| all_of.iter().any(|capability| capability == vendor));
    let mut kinds = GPU_KINDS.iter().filter(|(_, kind)| asks_gpu && described(kind));
    kinds.clone().find(|(vendor, _)| named(vendor)).or_else(|| kinds.next()).map(|(_, kind)| *kind)
}

/// Docker's text, and what mends it.
fn no_driver(driver: &str, request: &DeviceRequest) -> Error {
    let any_of = request.capabilities.as_deref().unwrap_or_default();
    let shown: Vec<_> = any_of.iter().map(|all_of| format!("[{}]", all_of.join(" "))).collect();
    Error::Invalid(format!(
        "could not select device driver \"{driver}\" with capabilities: [{}]: no file in the directories of CDI \
         descriptions describes such a device; a vendor's tool writes one, for instance `nvidia-ctk cdi generate \
         --output=/etc/cdi/nvidia.yaml`",
        shown.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPUS: &str = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n\
        - {name: '1', containerEdits: {env: [GPU=1]}}\n- {name: '0', containerEdits: {env: [GPU=0]}}\n\
        - {name: GPU-77, containerEdits: {env: [GPU=0]}}\n- {name: all, containerEdits: {env: [GPU=all]}}\n";

    fn env(request: DeviceRequest, text: &str) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("gpu.yaml"), text).unwrap();
        let host = HostConfig { device_requests: Some(vec![request]), ..HostConfig::default() };
        check(&host)?;
        let edits = resolve(&host, &[dir.path().to_owned()])?;
        Ok(edits.into_iter().flat_map(|edit| edit.env).collect())
    }

    fn gpus(count: i64, ids: &[&str]) -> DeviceRequest {
        DeviceRequest {
            count: Some(count),
            device_ids: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
            capabilities: Some(vec![vec!["gpu".to_owned()]]),
            ..DeviceRequest::default()
        }
    }

    #[test]
    fn graphics_processors_are_counted_named_or_all() {
        assert_eq!(env(gpus(-1, &[]), GPUS).unwrap(), ["GPU=all"]);
        assert_eq!(env(gpus(1, &[]), GPUS).unwrap(), ["GPU=0"]);
        assert_eq!(env(gpus(2, &[]), GPUS).unwrap(), ["GPU=0", "GPU=1"]);
        assert_eq!(env(gpus(0, &["GPU-77"]), GPUS).unwrap(), ["GPU=0"]);
        assert_eq!(env(gpus(-1, &[]), &GPUS.replace("name: all", "name: most")).unwrap(), ["GPU=0", "GPU=1"]);
        assert!(env(gpus(3, &[]), GPUS).unwrap_err().to_string().contains("3 devices of kind nvidia.com/gpu"));
        assert!(env(gpus(1, &["0"]), GPUS).unwrap_err().to_string().contains("both Count and DeviceIDs"));
        let amd = DeviceRequest { driver: Some("amd".to_owned()), ..gpus(1, &[]) };
        assert!(env(amd, GPUS).unwrap_err().to_string().starts_with("could not select device driver \"amd\""));
        let none = env(gpus(1, &[]), "").unwrap_err().to_string();
        assert!(none.starts_with("could not select device driver \"\" with capabilities: [[gpu]]"), "{none}");
    }

    #[test]
    fn devices_are_found_by_their_qualified_names() {
        let cdi = |id: &str| DeviceRequest {
            driver: Some(CDI.to_owned()),
            device_ids: Some(vec![id.to_owned()]),
            ..DeviceRequest::default()
        };
        assert_eq!(env(cdi("nvidia.com/gpu=1"), GPUS).unwrap(), ["GPU=1"]);
        let unknown = env(cdi("nvidia.com/gpu=9"), GPUS).unwrap_err().to_string();
        assert_eq!(unknown, "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=9");
        assert!(env(cdi("nvidia.com/gpu"), GPUS).unwrap_err().to_string().contains("vendor.com/class=device"));
    }
}

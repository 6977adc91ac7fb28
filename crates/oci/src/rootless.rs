//! Calls of an ordinary user. Whoever makes a container needs rights over mounts: `create` and `run` go on in a user and
//! a mount namespace of their own, with the user's subordinate ids, before they do anything. All other verbs need none:
//! the kernel gives the maker of a user namespace every right over what is in it (user_namespaces(7)).
//!
//! Maps in `config.json` name ids as the caller sees them, so they are told anew in ids of that namespace.

use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use berth_runtime::rootless::User;
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Spec};
use rustix::mount::{MountPropagationFlags, mount_change};

use crate::error::{Error, Result};

/// Set for the call that is inside.
const VARIABLE: &str = "BERTH_RUNTIME_ROOTLESS";

/// Where an ordinary user's containers are kept; `None` for root.
pub fn root() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() && !is_inside() {
        return None;
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| dir.as_encoded_bytes().starts_with(b"/"))?;
    Some(PathBuf::from(runtime).join("berth/runtime"))
}

fn is_inside() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Goes inside, when the caller is no root; returns when there is no need to. The caller must have a single thread.
pub fn enter() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    match go() {
        Ok(never) => match never {},
        Err(error) => Err(error),
    }
}

fn go() -> Result<Infallible> {
    User::this().enter_namespace()?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(Error::process("keep mounts to ourselves"))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("berth-runtime").args(arguments()).env(VARIABLE, "1");
    Err(Error::process("execute the runtime in its namespaces")(command.exec()))
}

/// What follows `berth runtime`, or `berth-runtime`.
fn arguments() -> impl Iterator<Item = std::ffi::OsString> {
    let mut all = std::env::args_os();
    let is_link = all.next().is_some_and(|name| std::path::Path::new(&name).ends_with("berth-runtime"));
    all.skip(usize::from(!is_link))
}

/// Tells the maps of a specification in ids of the namespace that the call is inside of.
pub fn translate(spec: &mut Spec) -> Result<()> {
    let Some(linux) = spec.linux_mut().as_mut().filter(|_| is_inside()) else { return Ok(()) };
    let own = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(run_of).collect::<Vec<_>>()
    };
    for (field, map, file) in [
        ("uidMappings", linux.uid_mappings().clone(), "/proc/self/uid_map"),
        ("gidMappings", linux.gid_mappings().clone(), "/proc/self/gid_map"),
    ] {
        let Some(mut map) = map else { continue };
        for run in &mut map {
            let found = inside(&own(file), run).ok_or_else(|| {
                Error::Usage(format!(
                    "{field}: {} ids from {} are not this user's (subuid(5))",
                    run.size(),
                    run.host_id()
                ))
            })?;
            *run = mapping(run.container_id(), found, run.size());
        }
        if field == "uidMappings" {
            linux.set_uid_mappings(Some(map))
        } else {
            linux.set_gid_mappings(Some(map))
        };
    }
    Ok(())
}

fn mapping(inside: u32, outside: u32, size: u32) -> LinuxIdMapping {
    // All three have values, and nothing else can fail.
    LinuxIdMappingBuilder::default().container_id(inside).host_id(outside).size(size).build().unwrap_or_default()
}

fn inside(own: &[(u32, u32, u32)], wanted: &LinuxIdMapping) -> Option<u32> {
    let (first, size) = (wanted.host_id(), wanted.size());
    own.iter().find_map(|(inside, outside, length)| {
        let distance = first.checked_sub(*outside)?;
        (distance.checked_add(size)? <= *length).then(|| inside + distance)
    })
}

fn run_of(line: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = line.split_whitespace().map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_told_in_ids_of_the_namespace() {
        let own = [(0, 1000, 1), (1, 100_000, 65_536)];
        let run = |first: u32, size: u32| mapping(0, first, size);
        assert_eq!(inside(&own, &run(1000, 1)), Some(0));
        assert_eq!(inside(&own, &run(100_010, 100)), Some(11));
        assert_eq!(inside(&own, &run(1000, 2)), None);
        assert_eq!(inside(&own, &run(0, 1)), None);
    }
}

//! Profiles in Docker's format: OCI rules plus conditions on capabilities, architecture and kernel, which are settled
//! once a container's capabilities are known.

use std::path::PathBuf;
use std::sync::OnceLock;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSyscall,
    LinuxSyscallBuilder,
};
use serde::Deserialize;

use super::error::Error;
use crate::capability::{self, Set};

/// What every container gets that is not privileged: `data/seccomp.json`.
const DEFAULT: &str = include_str!("../../data/seccomp.json");

/// A profile as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: Option<LinuxSeccompAction>,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

/// A condition under which a rule is used or not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// A kernel's version: the first two numbers.
pub type KernelVersion = (u32, u32);

/// The default profile.
pub fn default() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(|| parse(DEFAULT).expect("data/seccomp.json is checked by a test"))
}

/// Reads a profile: the file of `--security-opt seccomp=FILE`.
pub fn parse(json: &str) -> Result<Profile, Error> {
    serde_json::from_str(json).map_err(|source| Error::Decode { source })
}

/// This machine's architecture as profiles name it, which is mostly as Go does.
pub fn native_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// The running kernel's version.
pub fn kernel_version() -> KernelVersion {
    let system = rustix::system::uname();
    parse_version(&system.release().to_string_lossy()).unwrap_or((0, 0))
}

/// The rules of `profile` that hold for a container with these capabilities, on such a machine.
///
/// `None`: the profile has neither a default nor rules, which switches filtering off.
pub fn resolve(
    profile: &Profile,
    capabilities: Set,
    arch: &str,
    kernel: KernelVersion,
) -> Result<Option<LinuxSeccomp>, Error> {
    let rules = profile.syscalls.as_deref().unwrap_or_default();
    let Some(default_action) = profile.default_action else {
        return if rules.is_empty() { Ok(None) } else { Err(Error::NoDefault) };
    };
    let machine = Machine { capabilities, arch, kernel };
    let mut syscalls = Vec::with_capacity(rules.len());
    for rule in rules {
        let included = rule.includes.as_ref().map_or(Ok(true), |filter| machine.meets_all(filter))?;
        let excluded = rule.excludes.as_ref().map_or(Ok(false), |filter| machine.meets_any(filter))?;
        if let Some(call) = rule.to_oci()?.filter(|_| included && !excluded) {
            syscalls.push(call);
        }
    }
    let mut builder = LinuxSeccompBuilder::default().default_action(default_action).syscalls(syscalls);
    if let Some(architectures) = profile.architectures(arch)? {
        builder = builder.architectures(architectures);
    }
    if let Some(errno) = profile.default_errno_ret {
        builder = builder.default_errno_ret(errno);
    }
    if let Some(flags) = &profile.flags {
        builder = builder.flags(flags.clone());
    }
    if let Some(path) = &profile.listener_path {
        builder = builder.listener_path(path.clone());
    }
    if let Some(metadata) = &profile.listener_metadata {
        builder = builder.listener_metadata(metadata.clone());
    }
    Ok(Some(builder.build().expect("every field has a value or a default")))
}

impl Profile {
    /// The interfaces filtered for: as listed, or those the map gives this machine.
    fn architectures(&self, arch: &str) -> Result<Option<Vec<Arch>>, Error> {
        let listed = self.architectures.as_ref().filter(|list| !list.is_empty());
        let Some(map) = self.arch_map.as_ref().filter(|map| !map.is_empty()) else { return Ok(listed.cloned()) };
        if listed.is_some() {
            return Err(Error::ArchitecturesTwice);
        }
        let native = oci_arch(arch);
        let entry = map.iter().find(|entry| Some(entry.architecture) == native);
        Ok(entry.map(|entry| {
            let below = entry.sub_architectures.iter().flatten().copied();
            std::iter::once(entry.architecture).chain(below).collect()
        }))
    }
}

impl Rule {
    fn to_oci(&self) -> Result<Option<LinuxSyscall>, Error> {
        let mut names = self.names.clone().unwrap_or_default();
        if !self.name.is_empty() {
            if !names.is_empty() {
                return Err(Error::NameTwice);
            }
            names.push(self.name.clone());
        }
        if names.is_empty() {
            return Ok(None);
        }
        let mut builder = LinuxSyscallBuilder::default().names(names).action(self.action);
        if let Some(errno) = self.errno_ret {
            builder = builder.errno_ret(errno);
        }
        if let Some(args) = self.args.as_ref().filter(|args| !args.is_empty()) {
            builder = builder.args(args.clone());
        }
        Ok(Some(builder.build().expect("every field has a value or a default")))
    }
}

/// What conditions are tested against.
struct Machine<'a> {
    capabilities: Set,
    arch: &'a str,
    kernel: KernelVersion,
}

impl Machine<'_> {
    /// To be included, a rule needs one of the architectures, every capability, and the kernel.
    fn meets_all(&self, filter: &Filter) -> Result<bool, Error> {
        let arches = filter.arches.as_deref().unwrap_or_default();
        let caps = filter.caps.as_deref().unwrap_or_default();
        Ok((arches.is_empty() || self.is_one_of(arches))
            && caps.iter().all(|name| self.has(name))
            && self.is_new_enough(filter.min_kernel.as_deref())?.unwrap_or(true))
    }

    /// To be excluded, any of them is enough.
    fn meets_any(&self, filter: &Filter) -> Result<bool, Error> {
        Ok(self.is_one_of(filter.arches.as_deref().unwrap_or_default())
            || filter.caps.iter().flatten().any(|name| self.has(name))
            || self.is_new_enough(filter.min_kernel.as_deref())?.unwrap_or(false))
    }

    fn is_one_of(&self, arches: &[String]) -> bool {
        arches.iter().any(|arch| arch == self.arch)
    }

    fn has(&self, name: &str) -> bool {
        capability::number(name).is_some_and(|number| self.capabilities.contains(number))
    }

    fn is_new_enough(&self, version: Option<&str>) -> Result<Option<bool>, Error> {
        let Some(version) = version.filter(|version| !version.is_empty()) else { return Ok(None) };
        let wanted = parse_version(version).ok_or_else(|| Error::KernelVersion { version: version.to_owned() })?;
        Ok(Some(self.kernel >= wanted))
    }
}

/// `6.18.44-cloud` is (6, 18).
fn parse_version(release: &str) -> Option<KernelVersion> {
    let mut numbers = release.splitn(3, '.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?;
    let digits = minor.find(|c: char| !c.is_ascii_digit()).unwrap_or(minor.len());
    Some((major, minor[..digits].parse().ok()?))
}

fn oci_arch(arch: &str) -> Option<Arch> {
    Some(match arch {
        "amd64" => Arch::ScmpArchX86_64,
        "x86" => Arch::ScmpArchX86,
        "arm64" => Arch::ScmpArchAarch64,
        "arm" => Arch::ScmpArchArm,
        "riscv64" => Arch::ScmpArchRiscv64,
        "loongarch64" => Arch::ScmpArchLoongarch64,
        "ppc64le" => Arch::ScmpArchPpc64le,
        "ppc64" => Arch::ScmpArchPpc64,
        "s390x" => Arch::ScmpArchS390x,
        "mips64" => Arch::ScmpArchMips64,
        _ => return None,
    })
}

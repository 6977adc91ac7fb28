//! Profiles in Docker's format: OCI rules plus conditions on capabilities, architecture and kernel, which are settled
//! once a container's capabilities are known.

use std::path::PathBuf;
use std::sync::OnceLock;

use berth_kit::guard::{Guard, stands};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSyscall,
    LinuxSyscallBuilder,
};
use serde::Deserialize;

use super::error::Error;
use crate::capability::{self, Set};

/// What every container gets that is not privileged: `data/seccomp.json`.
const DEFAULT: &str = include_str!("../../data/seccomp.json");

/// A profile, checked.
#[derive(Debug, Clone)]
pub struct Profile {
    head: Head,
    rules: Vec<Rule>,
}

/// A profile as written.
#[derive(Deserialize)]
struct Document {
    #[serde(flatten)]
    head: Head,
    #[serde(default)]
    syscalls: Option<Vec<DocumentRule>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    default_action: Option<LinuxSeccompAction>,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

/// A rule of a checked profile.
#[derive(Debug, Clone)]
struct Rule {
    call: LinuxSyscall,
    includes: Condition,
    excludes: Condition,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentRule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<DocumentCondition>,
    #[serde(default)]
    excludes: Option<DocumentCondition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentCondition {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// When a rule is used or not.
#[derive(Debug, Clone, Default)]
struct Condition {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<KernelVersion>,
}

/// A kernel's version: the first two numbers.
pub type KernelVersion = (u32, u32);

impl Profile {
    /// The default profile.
    pub fn builtin() -> &'static Profile {
        static PROFILE: OnceLock<Profile> = OnceLock::new();
        PROFILE.get_or_init(|| Profile::parse(DEFAULT).expect("data/seccomp.json is checked by a test"))
    }

    /// Reads and checks a profile: the text of the file of `--security-opt seccomp=FILE`.
    pub fn parse(json: &str) -> Result<Profile, Error> {
        let document: Document = serde_json::from_str(json)?;
        let listed = document.head.architectures.as_ref().is_some_and(|list| !list.is_empty());
        if listed && document.head.arch_map.as_ref().is_some_and(|map| !map.is_empty()) {
            return Err(Error::ArchitecturesTwice);
        }
        let mut rules = Vec::new();
        for rule in document.syscalls.unwrap_or_default() {
            rules.extend(rule.check()?);
        }
        if document.head.default_action.is_none() && !rules.is_empty() {
            return Err(Error::NoDefault);
        }
        Ok(Profile { head: document.head, rules })
    }

    /// [`resolve`] on this machine, for capabilities by name.
    pub fn resolve(&self, capabilities: &[String]) -> Option<LinuxSeccomp> {
        resolve(self, Set::from_names(capabilities), native_arch(), kernel_version())
    }

    /// The interfaces filtered for: as listed, or those the map gives this machine.
    fn architectures(&self, arch: &str) -> Option<Vec<Arch>> {
        let Some(map) = self.head.arch_map.as_ref().filter(|map| !map.is_empty()) else {
            return self.head.architectures.clone();
        };
        let native = oci_arch(arch);
        let entry = map.iter().find(|entry| Some(entry.architecture) == native)?;
        let below = entry.sub_architectures.iter().flatten().copied();
        Some(std::iter::once(entry.architecture).chain(below).collect())
    }
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

/// The rule itself; without the guard, one for sockets whatever their family is.
fn weakened(mut call: LinuxSyscall) -> Option<LinuxSyscall> {
    let makes_sockets = |name: &String| name == "socket" || name == "socketcall";
    if stands(Guard::AlgSockets) || !call.names().iter().any(makes_sockets) {
        return Some(call);
    }
    call.set_args(None);
    (call.action() == LinuxSeccompAction::ScmpActAllow).then_some(call)
}

/// The rules of `profile` that hold for a container with these capabilities, on such a machine.
///
/// `None`: the profile has neither a default nor rules, which switches filtering off.
pub fn resolve(profile: &Profile, capabilities: Set, arch: &str, kernel: KernelVersion) -> Option<LinuxSeccomp> {
    let machine = Machine { capabilities, arch, kernel };
    let head = &profile.head;
    let used = profile.rules.iter().filter(|rule| machine.uses(rule)).filter_map(|rule| weakened(rule.call.clone()));
    let mut builder =
        LinuxSeccompBuilder::default().default_action(head.default_action?).syscalls(used.collect::<Vec<_>>());
    if let Some(architectures) = profile.architectures(arch) {
        builder = builder.architectures(architectures);
    }
    if let Some(errno) = head.default_errno_ret {
        builder = builder.default_errno_ret(errno);
    }
    if let Some(flags) = &head.flags {
        builder = builder.flags(flags.clone());
    }
    if let Some(path) = &head.listener_path {
        builder = builder.listener_path(path.clone());
    }
    if let Some(metadata) = &head.listener_metadata {
        builder = builder.listener_metadata(metadata.clone());
    }
    Some(builder.build().expect("every field has a value or a default"))
}

impl DocumentRule {
    /// `None` if it names nothing.
    fn check(self) -> Result<Option<Rule>, Error> {
        let mut names = self.names.unwrap_or_default();
        if !self.name.is_empty() {
            if !names.is_empty() {
                return Err(Error::NameTwice);
            }
            names.push(self.name);
        }
        if names.is_empty() {
            return Ok(None);
        }
        let mut builder = LinuxSyscallBuilder::default().names(names).action(self.action);
        if let Some(errno) = self.errno_ret {
            builder = builder.errno_ret(errno);
        }
        if let Some(args) = self.args.filter(|args| !args.is_empty()) {
            builder = builder.args(args);
        }
        Ok(Some(Rule {
            call: builder.build().expect("every field has a value or a default"),
            includes: self.includes.unwrap_or_default().check()?,
            excludes: self.excludes.unwrap_or_default().check()?,
        }))
    }
}

impl DocumentCondition {
    fn check(self) -> Result<Condition, Error> {
        let version = self.min_kernel.filter(|version| !version.is_empty());
        let min_kernel =
            version.map(|version| parse_version(&version).ok_or(Error::KernelVersion { version })).transpose()?;
        Ok(Condition { caps: self.caps.unwrap_or_default(), arches: self.arches.unwrap_or_default(), min_kernel })
    }
}

/// What conditions are tested against.
struct Machine<'a> {
    capabilities: Set,
    arch: &'a str,
    kernel: KernelVersion,
}

impl Machine<'_> {
    /// To be included, a rule needs one of the architectures, every capability, and the kernel; to be excluded, any.
    fn uses(&self, rule: &Rule) -> bool {
        let (includes, excludes) = (&rule.includes, &rule.excludes);
        let included = (includes.arches.is_empty() || self.is_one_of(&includes.arches))
            && includes.caps.iter().all(|name| self.has(name))
            && includes.min_kernel.is_none_or(|least| self.kernel >= least);
        let excluded = self.is_one_of(&excludes.arches)
            || excludes.caps.iter().any(|name| self.has(name))
            || excludes.min_kernel.is_some_and(|least| self.kernel >= least);
        included && !excluded
    }

    fn is_one_of(&self, arches: &[String]) -> bool {
        arches.iter().any(|arch| arch == self.arch)
    }

    fn has(&self, name: &str) -> bool {
        capability::number(name).is_some_and(|number| self.capabilities.contains(number))
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

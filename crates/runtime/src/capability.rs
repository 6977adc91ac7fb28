//! Capabilities (capabilities(7)): names and numbers, Docker's default set, `--cap-add` and `--cap-drop`, and taking
//! a container's sets on in its init.

use std::collections::HashSet;
use std::fmt;
use std::sync::OnceLock;

use berth_kit::guard::{Guard, stands};
use berth_kit::{Kind, Kinded};
use berth_sys::capability as kernel;
use oci_spec::runtime::{Capability, LinuxCapabilities};

/// Every capability up to kernel 6.18, at its number.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What a container gets unless told otherwise: `data/capabilities.json`.
const DEFAULTS: &str = include_str!("../data/capabilities.json");

/// A set of capabilities; bit n is capability number n.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Set(pub u64);

/// A capability that `--cap-add` or `--cap-drop` named in vain. The texts are dockerd's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such capability.
    #[error("invalid {option}: unknown capability: {name:?}")]
    Unknown {
        /// `CapAdd` or `CapDrop`.
        option: &'static str,
        /// As looked for, with its prefix.
        name: String,
    },
    /// The kernel, or the rights berth runs with, lack it.
    #[error(
        "invalid {option}: capability not supported by your kernel or not available in the current \
         environment: {name:?}"
    )]
    Unsupported {
        /// `CapAdd` or `CapDrop`.
        option: &'static str,
        /// With its prefix.
        name: String,
    },
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// The number of a name, with or without `CAP_`, in any case.
pub fn number(name: &str) -> Option<u32> {
    let plain = |name: &str| name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned();
    let wanted = plain(name);
    NAMES.iter().position(|known| known["CAP_".len()..] == wanted).map(|at| at as u32)
}

impl Set {
    /// No capability.
    pub const EMPTY: Set = Set(0);
    /// All that this table knows.
    pub const KNOWN: Set = Set((1 << NAMES.len()) - 1);

    /// Docker's default for a container.
    pub fn container() -> Set {
        let names: Vec<String> = serde_json::from_str(DEFAULTS).expect("data/capabilities.json is checked by a test");
        Set::from_names(&names)
    }

    /// All that the running kernel knows: what root of a new user namespace can have.
    pub fn of_kernel() -> Set {
        static LAST: OnceLock<u32> = OnceLock::new();
        Set(Set::KNOWN.0 & ((2_u64 << LAST.get_or_init(kernel::last)) - 1))
    }

    /// What the process's bounding set held at the first call: what a container without a user namespace can have.
    pub fn bounding() -> Set {
        static HELD: OnceLock<Set> = OnceLock::new();
        *HELD.get_or_init(|| {
            let held = (0..NAMES.len() as u32).filter(|number| kernel::bounding_has(*number) == Ok(true));
            held.fold(Set::EMPTY, Set::with)
        })
    }

    /// The set with one more.
    #[must_use]
    pub fn with(self, number: u32) -> Set {
        Set(self.0 | 1 << number)
    }

    /// Whether it holds a capability.
    pub fn contains(self, number: u32) -> bool {
        self.0 & 1 << number != 0
    }

    /// Full names, by number.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(at, _)| self.contains(*at as u32)).map(|(_, name)| *name)
    }

    /// The set in the OCI specification's type.
    pub fn to_oci(self) -> HashSet<Capability> {
        // Its enumeration lacks none of the table; a test holds that.
        self.names().filter_map(|name| name["CAP_".len()..].parse().ok()).collect()
    }

    /// From names, with or without prefix; unknown ones are passed over.
    pub fn from_names(names: &[String]) -> Set {
        names.iter().filter_map(|name| number(name)).fold(Set::EMPTY, Set::with)
    }

    /// From the OCI specification's type.
    pub fn from_oci(set: &HashSet<Capability>) -> Set {
        set.iter().filter_map(|capability| number(&capability.to_string())).fold(Set::EMPTY, Set::with)
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// What one of the two options names: single capabilities, and whether it names `ALL`.
struct Named {
    all: bool,
    set: Set,
}

fn parse(option: &'static str, names: &[String], supported: Set) -> Result<Named, Error> {
    let mut named = Named { all: false, set: Set::EMPTY };
    for name in names {
        let mut name = name.to_ascii_uppercase();
        if name == "ALL" {
            named.all = true;
            continue;
        }
        if !name.starts_with("CAP_") {
            name.insert_str(0, "CAP_");
        }
        match NAMES.iter().position(|known| *known == name).map(|at| at as u32) {
            None => return Err(Error::Unknown { option, name }),
            Some(number) if !supported.contains(number) => return Err(Error::Unsupported { option, name }),
            Some(number) => named.set = named.set.with(number),
        }
    }
    Ok(named)
}

/// The set of a container: `defaults`, then Docker's `CapAdd` and `CapDrop`.
///
/// `ALL` added gives all `supported` but those dropped by name; `ALL` dropped gives those added by name; otherwise
/// drops come before adds. A privileged container has all.
pub fn tweak(defaults: Set, add: &[String], drop: &[String], privileged: bool, supported: Set) -> Result<Set, Error> {
    let add = parse("CapAdd", add, supported)?;
    let drop = parse("CapDrop", drop, supported)?;
    let set = match (privileged || add.all, drop.all) {
        _ if privileged => supported.0,
        (true, _) => supported.0 & !drop.set.0,
        (false, true) => add.set.0,
        (false, false) => defaults.0 & supported.0 & !drop.set.0 | add.set.0,
    };
    Ok(Set(set))
}

/// [`tweak`] of Docker's default on this machine's kernel, as full names: what a container's specification lists.
///
/// The kernel's capabilities count, not berth's own: root of a container's user namespace can have them all, and
/// what a container without one cannot have is left out when it starts.
pub fn resolve(add: &[String], drop: &[String], privileged: bool) -> Result<Vec<String>, Error> {
    let set = tweak(Set::container(), add, drop, privileged, Set::of_kernel())?;
    Ok(set.names().map(str::to_owned).collect())
}

/// A process's five sets, ready for use after `clone`: applying them allocates nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// The limit of what `execve` can give.
    pub bounding: Set,
    /// What the kernel checks.
    pub effective: Set,
    /// What may become effective.
    pub permitted: Set,
    /// What passes over `execve` with file capabilities.
    pub inheritable: Set,
    /// What passes over `execve` without.
    pub ambient: Set,
}

impl From<&LinuxCapabilities> for Sets {
    fn from(oci: &LinuxCapabilities) -> Self {
        let set = |set: &Option<HashSet<Capability>>| set.as_ref().map_or(Set::EMPTY, Set::from_oci);
        Sets {
            bounding: set(oci.bounding()),
            effective: set(oci.effective()),
            permitted: set(oci.permitted()),
            inheritable: if stands(Guard::Inheritable) { set(oci.inheritable()) } else { set(oci.permitted()) },
            ambient: set(oci.ambient()),
        }
    }
}

impl Sets {
    /// First step, before the change of user (it needs `CAP_SETPCAP`): gives up what is outside `bounding`.
    pub fn drop_bounding(&self) -> berth_sys::Result<()> {
        kernel::bounding_keep(self.bounding.0)
    }

    /// Second step, after the change of user under "keep capabilities": the other four. What the caller does not
    /// have cannot be had, and is left out as other OCI runtimes do.
    pub fn apply(&self) -> berth_sys::Result<()> {
        let permitted = kernel::get()?.permitted & self.permitted.0;
        let inheritable = self.inheritable.0 & permitted;
        kernel::set(&kernel::Sets { effective: self.effective.0 & permitted, permitted, inheritable })?;
        kernel::ambient_clear()?;
        let ambient = Set(self.ambient.0 & inheritable);
        (0..u64::BITS).filter(|number| ambient.contains(*number)).try_for_each(kernel::ambient_raise)
    }
}

/// Both steps for a process that keeps its user.
pub fn apply(capabilities: &LinuxCapabilities) -> berth_sys::Result<()> {
    let sets = Sets::from(capabilities);
    sets.drop_bounding()?;
    sets.apply()
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxCapabilitiesBuilder;

    use super::*;

    fn tweaked(add: &[&str], drop: &[&str]) -> Result<String, String> {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        tweak(Set::container(), &own(add), &own(drop), false, Set::KNOWN)
            .map(|set| set.names().collect::<Vec<_>>().join(" "))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn the_default_is_the_fourteen_of_docker() {
        let set = Set::container();
        assert_eq!(set.0.count_ones(), 14);
        assert_eq!(format!("{:x}", set.0), "a80425fb");
    }

    #[test]
    fn every_name_has_a_counterpart_in_the_specification() {
        assert_eq!(Set::KNOWN.to_oci().len(), NAMES.len());
        assert_eq!(Set::from_oci(&Set::KNOWN.to_oci()), Set::KNOWN);
        assert_eq!((number("net_admin"), number("CAP_CHECKPOINT_RESTORE"), number("x")), (Some(12), Some(40), None));
    }

    #[test]
    fn adds_and_drops_follow_docker() {
        assert_eq!(tweaked(&["kill", "CAP_NET_ADMIN"], &["all"]).unwrap(), "CAP_KILL CAP_NET_ADMIN");
        assert_eq!(tweaked(&[], &["ALL"]).unwrap(), "");
        assert_eq!(tweaked(&["SYS_ADMIN"], &["CHOWN", "SYS_ADMIN"]).unwrap().matches("SYS_ADMIN").count(), 1);
        let nearly = tweaked(&["ALL"], &["MKNOD"]).unwrap();
        assert!(!nearly.contains("MKNOD") && nearly.split(' ').count() == NAMES.len() - 1);
        assert_eq!(tweaked(&["X"], &[]).unwrap_err(), r#"invalid CapAdd: unknown capability: "CAP_X""#);
        assert_eq!(tweaked(&[], &["cap_y"]).unwrap_err(), r#"invalid CapDrop: unknown capability: "CAP_Y""#);
        let few = tweak(Set::container(), &["BPF".into()], &[], false, Set(1)).unwrap_err();
        assert!(few.to_string().ends_with(r#"in the current environment: "CAP_BPF""#), "{few}");
        assert_eq!(tweak(Set::container(), &[], &["ALL".into()], true, Set(5)).unwrap(), Set(5));
    }

    #[test]
    fn a_thread_takes_its_sets_on() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let wanted = Set::EMPTY.with(0).with(5);
        let all = LinuxCapabilitiesBuilder::default()
            .bounding(wanted.to_oci())
            .effective(wanted.to_oci())
            .permitted(wanted.to_oci())
            .inheritable(wanted.to_oci())
            .ambient(Set::EMPTY.with(5).to_oci())
            .build()
            .unwrap();
        // Capabilities belong to the thread.
        std::thread::spawn(move || {
            apply(&all).unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = |key: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
                u64::from_str_radix(line.trim(), 16).unwrap()
            };
            for key in ["CapBnd:", "CapEff:", "CapPrm:", "CapInh:"] {
                assert_eq!(line(key), wanted.0, "{key}");
            }
            assert_eq!(line("CapAmb:"), 1 << 5);
            assert_eq!(Set::bounding(), wanted);
        })
        .join()
        .unwrap();
    }
}

//! The walls that the corpus of attacks leans on, by name.
//!
//! A wall is worth what its test notices when it is gone. Each place that keeps a known attack out asks
//! [`stands`] for its guard, which is `true` at compile time. A build with the feature `weakened`, which the compiler
//! refuses to make without debug assertions, takes away the one that the variable `BERTH_WEAKEN` names, and the tests
//! (crates/blackbox/tests/attack) show that they fail then.

#[cfg(all(feature = "weakened", not(debug_assertions)))]
compile_error!("the feature `weakened` is for tests of attacks: it must not be part of a release");

/// The variable that names the guard (or several, with commas) that a weakened build goes without.
pub const VARIABLE: &str = "BERTH_WEAKEN";

macro_rules! guards {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One wall; the number of the vulnerability that it answers stands beside it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Guard {
            $($(#[$doc])* $variant,)*
        }

        impl Guard {
            /// All of them.
            pub const ALL: &[Guard] = &[$(Guard::$variant,)*];

            /// Its name in [`VARIABLE`].
            pub const fn name(self) -> &'static str {
                match self {
                    $(Guard::$variant => $name,)*
                }
            }
        }
    };
}

guards! {
    /// The engine's program is executed from a view that nobody can make writable (CVE-2019-5736).
    SealedProgram = "sealed-program",
    /// Only a proc file system stands at /proc, and nothing of a user's in it (CVE-2019-16884, 2019-19921, 2023-27561).
    PlainProc = "plain-proc",
    /// /dev is a directory, not an image's link (CVE-2026-41579).
    PlainDev = "plain-dev",
    /// Places of mounts are made and found below the root, by descriptors (CVE-2021-30465, 2024-45310).
    TargetBeneath = "target-beneath",
    /// No working directory is reached through the kernel's own links (CVE-2024-21626).
    CwdInside = "cwd-inside",
    /// Files are masked with the real null device (CVE-2025-31133).
    NullDevice = "null-device",
    /// /dev/console is the terminal's descriptor, at a place that is no link (CVE-2025-52565).
    ConsoleDescriptor = "console-descriptor",
    /// Settings and labels are written into a real proc file system (CVE-2025-52881).
    ProcWrites = "proc-writes",
    /// The inheritable set of a container's processes is empty (CVE-2022-29162).
    Inheritable = "inheritable",
    /// Control groups are shown read-only (CVE-2023-25809).
    CgroupReadOnly = "cgroup-read-only",
    /// Digits are a number, in range, and never a name (CVE-2024-40635, 2026-46680).
    UserNumbers = "user-numbers",
    /// A volume is filled from below the image's root (CVE-2022-23648).
    CopyUpBeneath = "copy-up-beneath",
    /// A part of a volume is found below the volume's root when it is mounted (CVE-2021-25741).
    SubpathBeneath = "subpath-beneath",
    /// An image's labels steer nothing (CVE-2026-53488).
    LabelsAreData = "labels-are-data",
    /// Accounts are read from regular files below the root (CVE-2024-9676).
    UserFiles = "user-files",
    /// No socket of AF_ALG, whatever the architecture of the call (CVE-2026-31431).
    AlgSockets = "alg-sockets",
    /// The engine listens on files, not on names of a network namespace (CVE-2020-15257).
    NamedSockets = "named-sockets",
    /// Copies and exports resolve below the root (CVE-2018-15664, 2026-41568).
    ArchiveBeneath = "archive-beneath",
    /// Copies run no program and load no library of the container (CVE-2019-14271, 2026-41567).
    OwnCode = "own-code",
    /// State on disk is the engine's alone (CVE-2024-25621).
    PrivateState = "private-state",
    /// What a call took is given back (CVE-2022-23471, 2025-64329).
    CallsReleased = "calls-released",
    /// A body has a limit, and is what its head says (CVE-2024-41110).
    BodyLimit = "body-limit",
}

/// Whether the wall is there.
#[cfg(not(feature = "weakened"))]
#[inline(always)]
pub const fn stands(_guard: Guard) -> bool {
    true
}

/// Whether the wall is there: all but the ones that [`VARIABLE`] names.
#[cfg(feature = "weakened")]
pub fn stands(guard: Guard) -> bool {
    !weakness().is_some_and(|names| names.split(',').any(|name| name == guard.name()))
}

/// What the processes that an engine starts are to go without as well; `None` but in a weakened build.
pub fn weakness() -> Option<String> {
    if cfg!(feature = "weakened") { std::env::var(VARIABLE).ok().filter(|names| !names.is_empty()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_of_one_guard() {
        let mut names: Vec<&str> = Guard::ALL.iter().map(|guard| guard.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Guard::ALL.len());
        assert!(Guard::ALL.iter().all(|guard| stands(*guard)), "nothing is weakened by itself");
    }
}

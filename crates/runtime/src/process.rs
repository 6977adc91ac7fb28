//! From a process inside its namespaces to the program: who it is, where it stands, what it may do, `execve`.
//!
//! Used by a container's init and by every process that is started in it later.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use berth_kit::guard::{Guard, stands};
use berth_sys::exec::{Vectors, exec};
use berth_sys::{Errno, process};
use oci_spec::runtime::{LinuxSeccomp, Process};
use rustix::fs::OFlags;

use crate::capability::Sets;
use crate::error::{Failure, describe};
use crate::label;
use crate::listener::Listener;
use crate::path::{self, Make};
use crate::seccomp::Program;
use crate::user::{self, Identity};

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process of the specification with what belongs to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessPlan<'a> {
    pub(crate) process: &'a Process,
    /// The compiled system-call filter.
    pub(crate) filter: Option<&'a Program>,
    /// Supplementary groups by name or number.
    pub(crate) groups: &'a [String],
    /// Who decides about calls that the filter does not decide about.
    pub(crate) listener: Option<&'a Listener>,
    /// How many descriptors from 3 on the program keeps.
    pub(crate) kept: u32,
}

impl ProcessPlan<'_> {
    /// Finds the user in the container's files. `root` is the container's root directory.
    pub(crate) fn identity(&self, root: BorrowedFd<'_>) -> Result<Identity, Failure> {
        let wanted = self.process.user();
        let unknown = |error: crate::Error| Failure::own("user", Errno::INVAL, error.to_string());
        let mut identity = match wanted.username() {
            Some(name) => {
                let mut identity = user::resolve(root, name, self.groups).map_err(unknown)?;
                // The group of the user counts wherever a supplementary group does, refusals included.
                identity.groups.push(identity.gid);
                identity
            }
            None => {
                let named = user::resolve(root, &format!("{}:{}", wanted.uid(), wanted.gid()), self.groups);
                let mut identity = named.map_err(unknown)?;
                (identity.uid, identity.gid) = (wanted.uid(), wanted.gid());
                identity
            }
        };
        identity.groups.extend(wanted.additional_gids().iter().flatten());
        identity.groups.sort_unstable();
        identity.groups.dedup();
        Ok(identity)
    }

    /// Goes to the working directory; one that is missing is made where `make` says so. The kernel's own links (`/proc/self/fd`) lead nowhere
    /// here, so that no descriptor of the engine can become somebody's working directory.
    pub(crate) fn enter_directory(&self, root: BorrowedFd<'_>, make: bool) -> Result<(), Failure> {
        let wanted = self.process.cwd();
        let enter = || {
            if !stands(Guard::CwdInside) {
                // Before the root has changed this would lead nowhere; `enter_root` does it.
                return if make { Ok(()) } else { rustix::process::chdir(wanted) };
            }
            let directory = if make {
                path::open_or_make(root, wanted, Make::Directory)?
            } else {
                path::open(root, wanted, OFlags::PATH | OFlags::DIRECTORY)?
            };
            if !path::is_directory(directory.as_fd())? {
                return Err(Errno::NOTDIR);
            }
            rustix::process::fchdir(directory)
        };
        let what = format_args!("cannot change to the working directory {}", wanted.display()).to_string();
        enter().map_err(|errno| Failure::kernel("cwd", what, errno))
    }

    /// Gives up everything that the program shall not have, and becomes its user. Without `no_new_privs` the filter
    /// needs a right that is given up here, so it comes first; with it, it comes last and never sees these calls.
    /// `words` are for the filter's agent.
    pub(crate) fn confine(&self, identity: &Identity, words: &[u8]) -> Result<(), Failure> {
        let no_new_privileges = self.process.no_new_privileges().unwrap_or(false);
        // Before the filter, which may refuse even these calls.
        berth_sys::descriptor::close_on_exec_from(3 + self.kept)
            .map_err(|errno| Failure::kernel("exec", "cannot close descriptors", errno))?;
        label::set_for_exec(self.process)?;
        if !no_new_privileges {
            self.install_filter(words)?;
        }
        self.become_user(identity)?;
        process::set_umask(self.process.user().umask().unwrap_or(0o022));
        if no_new_privileges {
            process::set_no_new_privileges()
                .map_err(|errno| Failure::kernel("no_new_privileges", "cannot set no_new_privs", errno))?;
            self.install_filter(words)?;
        }
        Ok(())
    }

    fn install_filter(&self, words: &[u8]) -> Result<(), Failure> {
        let Some(filter) = self.filter else { return Ok(()) };
        let asked = if filter.notifies { berth_sys::seccomp::flag::NEW_LISTENER } else { 0 };
        let installed = berth_sys::seccomp::install(&filter.instructions, filter.flags | asked)
            .map_err(|errno| Failure::kernel("seccomp", "cannot install the system-call filter", errno))?;
        match (installed, self.listener) {
            (Some(filter), Some(listener)) => listener.hand_over(&filter, words),
            _ => Ok(()),
        }
    }

    fn become_user(&self, identity: &Identity) -> Result<(), Failure> {
        let fail = |errno| Failure::kernel("capabilities", "cannot set the capabilities", errno);
        let sets = self.process.capabilities().as_ref().map(Sets::from);
        if let Some(sets) = &sets {
            sets.drop_bounding().map_err(fail)?;
            process::set_keep_capabilities(true).map_err(fail)?;
        }
        process::become_user(identity.uid, identity.gid, &identity.groups).map_err(|errno| {
            let why = match errno {
                Errno::INVAL => ", which the container's user namespace does not have (--userns=host has all)",
                _ => "",
            };
            let what = format_args!("cannot become user {}:{}{why}", identity.uid, identity.gid).to_string();
            Failure::kernel("user", what, errno)
        })?;
        if let Some(sets) = &sets {
            sets.apply().map_err(fail)?;
            process::set_keep_capabilities(false).map_err(fail)?;
        }
        Ok(())
    }

    /// Executes the program; returns only when that failed.
    pub(crate) fn execute(&self, identity: &Identity) -> Failure {
        let arguments = strings(self.process.args().as_deref().unwrap_or_default());
        let environment = self.environment(identity);
        let vectors = Vectors::new(&arguments, &environment);
        if let Err(errno) = process::reset_signals() {
            return Failure::kernel("exec", "cannot reset signals", errno);
        }
        let name = self.process.args().iter().flatten().next().map_or("", String::as_str);
        if name.contains('/') {
            let errno = arguments.first().map_or(Errno::INVAL, |program| exec(program, &vectors));
            return refusal(name, errno);
        }
        let errno = search(name, path_of(&environment), &vectors);
        if errno == Errno::NOENT {
            return Failure::own("exec", errno, format!("exec: {name:?}: executable file not found in $PATH"));
        }
        refusal(name, errno)
    }

    /// Whether there is a program at all, seen from the container's root: a container that is started much later shall
    /// not be the first to say so.
    pub(crate) fn find_program(&self, identity: &Identity) -> Result<(), Failure> {
        let name = self.process.args().iter().flatten().next().map_or("", String::as_str);
        if name.contains('/') {
            let missing = |error: std::io::Error| {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::NOENT);
                Failure::own("exec", errno, format!("exec: {name:?}: stat {name}: {}", describe(errno)))
            };
            return Path::new(name).metadata().map(drop).map_err(missing);
        }
        let environment = self.environment(identity);
        if path_of(&environment).split(':').any(|directory| Path::new(directory).join(name).is_file()) {
            return Ok(());
        }
        Err(Failure::own("exec", Errno::NOENT, format!("exec: {name:?}: executable file not found in $PATH")))
    }

    /// The environment with `HOME`, and `TERM` for a terminal.
    fn environment(&self, identity: &Identity) -> Vec<CString> {
        let mut all = strings(self.process.env().as_deref().unwrap_or_default());
        let has = |all: &[CString], key: &[u8]| all.iter().any(|text| text.as_bytes().starts_with(key));
        if !has(&all, b"HOME=") {
            all.extend(strings(&[format!("HOME={}", identity.home)]));
        }
        if self.process.terminal().unwrap_or(false) && !has(&all, b"TERM=") {
            all.extend(strings(&[String::from("TERM=xterm")]));
        }
        all
    }
}

/// Docker's sentence for a program that does not run.
fn refusal(name: &str, errno: Errno) -> Failure {
    let message = match errno {
        Errno::NOENT if Path::new(name).symlink_metadata().is_err() => {
            format!("exec: {name:?}: stat {name}: {}", describe(errno))
        }
        Errno::NOENT | Errno::NOEXEC => format!("exec {name}: {}", describe(errno)),
        _ if Path::new(name).is_dir() => format!("exec: {name:?}: is a directory"),
        _ => format!("exec: {name:?}: {}", describe(errno)),
    };
    Failure::own("exec", errno, message)
}

/// Tries every directory of the search path; the answer is that of a program that was found but not executed, or else
/// `ENOENT`.
fn search(name: &str, directories: &str, vectors: &Vectors<'_>) -> Errno {
    let mut answer = Errno::NOENT;
    for directory in directories.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let Ok(candidate) = CString::new(format!("{directory}/{name}")) else { return Errno::INVAL };
        match exec(&candidate, vectors) {
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => {
                // Directories and files that are not executable are passed over, as a shell does.
                answer = Errno::ACCESS;
            }
            errno => return errno,
        }
    }
    answer
}

fn path_of(environment: &[CString]) -> &str {
    let found = environment.iter().filter_map(|text| text.to_str().ok()?.strip_prefix("PATH=")).next_back();
    found.unwrap_or(DEFAULT_PATH)
}

/// Strings without the ones that the kernel could not take; the plan has refused those already.
fn strings(list: &[String]) -> Vec<CString> {
    list.iter().filter_map(|text| CString::new(text.as_str()).ok()).collect()
}

/// A descriptor of the root directory as the caller sees it.
pub(crate) fn root() -> Result<std::os::fd::OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(rustix::fs::CWD, "/", flags, rustix::fs::Mode::empty())
        .map_err(|errno| Failure::kernel("rootfs", "cannot open the container's root", errno))
}

/// The filter of a specification, compiled.
pub(crate) fn filter(seccomp: Option<&LinuxSeccomp>) -> crate::Result<Option<Program>> {
    Ok(seccomp.map(crate::seccomp::compile).transpose()?)
}

//! System call filters: profiles in Docker's format, and a compiler from the OCI runtime specification's rules to
//! classic BPF (seccomp(2), `Documentation/userspace-api/seccomp_filter.rst`).
//!
//! ```text
//!   data/seccomp.json ─► profile::resolve (capabilities, architecture, kernel) ─► LinuxSeccomp ─► compile ─► Program
//! ```
//!
//! The program first tells the architecture, then finds the call's number in a binary tree of ranges, so a call costs
//! some ten instructions however long the profile is. Semantics are those of runc with libseccomp: unknown names are
//! passed over, a rule whose action is the default says nothing, a rule that compares one argument twice means either,
//! and calls newer than any the profile names fail with ENOSYS, so that libraries fall back to older ones.

mod arch;
mod compare;
mod error;
pub mod profile;
mod rule;
mod table;
#[cfg(test)]
mod test;
mod tree;

use libc::sock_filter;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};

pub use error::Error;
pub use profile::Profile;

use arch::Abi;
use rule::Ranges;

/// The kernel's limit, `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// A filter ready for `berth_sys::seccomp::install`.
#[derive(Debug, Clone)]
pub struct Program {
    /// Classic BPF.
    pub instructions: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`, without `NEW_LISTENER`.
    pub flags: u64,
    /// Whether some action is NOTIFY, so that a listener must be asked for.
    pub notifies: bool,
}

impl Program {
    /// The filter as bytes, for a cache on disk; read back by [`Program::from_bytes`] on the same machine.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(9 + self.instructions.len() * 8);
        bytes.push(u8::from(self.notifies));
        bytes.extend(self.flags.to_ne_bytes());
        for i in &self.instructions {
            bytes.extend(i.code.to_ne_bytes());
            bytes.extend([i.jt, i.jf]);
            bytes.extend(i.k.to_ne_bytes());
        }
        bytes
    }

    /// `None` if the bytes are not those of a filter.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, body) = bytes.split_at_checked(9)?;
        let (words, rest) = body.as_chunks::<8>();
        if !rest.is_empty() || words.is_empty() || words.len() > MAX_INSTRUCTIONS || head[0] > 1 {
            return None;
        }
        let instructions = words
            .iter()
            .map(|[a, b, jt, jf, k @ ..]| sock_filter {
                code: u16::from_ne_bytes([*a, *b]),
                jt: *jt,
                jf: *jf,
                k: u32::from_ne_bytes(*k),
            })
            .collect();
        Some(Program { instructions, flags: u64::from_ne_bytes(head[1..].try_into().ok()?), notifies: head[0] == 1 })
    }
}

/// Compiles a filter for this machine; architectures of other machines are left out.
pub fn compile(seccomp: &LinuxSeccomp) -> Result<Program, Error> {
    compile_for(seccomp, Abi::native().ok_or(Error::Architecture)?)
}

fn compile_for(seccomp: &LinuxSeccomp, native: Abi) -> Result<Program, Error> {
    let mut abis = vec![native];
    for abi in seccomp.architectures().iter().flatten().filter_map(|arch| Abi::from_oci(*arch)) {
        if !abis.contains(&abi) {
            abis.push(abi);
        }
    }
    let calls = rule::find_calls(seccomp);
    let mut sections: Vec<(u32, Ranges)> = Vec::new();
    for abi in &abis {
        // x86_64 and x32 come with one token and are told apart by a bit of the number.
        if !sections.iter().any(|(token, _)| *token == abi.token()) {
            let together: Vec<Abi> = abis.iter().copied().filter(|other| other.token() == abi.token()).collect();
            sections.push((abi.token(), rule::ranges(seccomp, &calls, &together)?));
        }
    }
    let instructions = tree::program(&sections);
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(Error::TooLong { instructions: instructions.len() });
    }
    let actions = seccomp.syscalls().iter().flatten().map(|call| call.action());
    let notifies = actions.chain([seccomp.default_action()]).any(|action| action == LinuxSeccompAction::ScmpActNotify);
    Ok(Program { instructions, flags: flags(seccomp), notifies })
}

/// Without flags named, containers are spared the mitigation of speculative store bypass, as with other runtimes.
fn flags(seccomp: &LinuxSeccomp) -> u64 {
    use berth_sys::seccomp::flag;
    let Some(list) = seccomp.flags() else { return flag::SPEC_ALLOW };
    list.iter().fold(0, |flags, flag| {
        flags
            | match flag {
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => flag::LOG,
                LinuxSeccompFilterFlag::SeccompFilterFlagTsync => libc::SECCOMP_FILTER_FLAG_TSYNC,
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => flag::SPEC_ALLOW,
                LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => flag::WAIT_KILLABLE,
            }
    })
}

//! What the jail of a plan starts: the command line of its monitor, and the files that this one needs beside the guest's.

use std::path::{Path, PathBuf};

use crate::{
    Error, Result,
    jail::{CONFIG, ENGINE},
    plan::{Backend, Plan},
    qemu::{self, Machine},
    vmm,
};

/// See the module.
pub(crate) struct Command {
    /// Program and arguments, whose paths are those of the jail.
    pub arguments: Vec<String>,
    /// What it reads: in the jail, and on the host.
    pub files: Vec<(&'static str, PathBuf)>,
}

/// The command of a plan's monitor; what it reads may be written into `dir`.
///
/// # Errors
/// [`Error::NoBackend`] where the plan's monitor cannot do what is wanted, [`Error::File`].
pub(crate) fn command(dir: &Path, plan: &Plan, machine: Machine, share: bool, tsc_khz: u64) -> Result<Command> {
    let mut arguments = vec![plan.program.display().to_string()];
    match plan.backend {
        Backend::QemuTcg | Backend::QemuKvm => {
            arguments.extend(qemu::arguments(plan, machine, share, tsc_khz));
            Ok(Command { arguments, files: Vec::new() })
        }
        Backend::BerthKvm if share || machine != Machine::Cold => Err(Error::NoBackend(
            "berth's own monitor was to share directories or to use a template, which only QEMU does".to_owned(),
        )),
        Backend::BerthKvm => {
            arguments.extend(["vmm", "--config", CONFIG].map(str::to_owned));
            let config = vmm::write(dir, plan)?;
            Ok(Command { arguments, files: vec![(CONFIG, config), (ENGINE, plan.boot.agent.clone())] })
        }
    }
}

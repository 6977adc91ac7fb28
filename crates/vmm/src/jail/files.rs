//! Files, by Landlock (Documentation/userspace-api/landlock.rst).

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use crate::{Error, Result};

/// The newest rules that are asked for; older kernels give what they have.
const RULES: ABI = ABI::V6;

/// Closes everything but `open`, in which files may be made and read.
pub(super) fn close(open: Option<&Path>) -> Result<()> {
    let status = restrict(open)
        .map_err(|error| Error::System { act: "give up files", source: std::io::Error::other(error.to_string()) })?;
    if status == RulesetStatus::NotEnforced {
        eprintln!("berth vmm: this kernel has no Landlock: files are guarded by their permissions only");
    }
    Ok(())
}

fn restrict(open: Option<&Path>) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?;
    let rules = match open {
        Some(path) => rules.add_rule(PathBeneath::new(PathFd::new(path)?, AccessFs::from_all(RULES)))?,
        None => rules,
    };
    Ok(rules.restrict_self()?.ruleset)
}

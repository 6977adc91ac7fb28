//! `pause` and `resume`: all processes of a container stand still, and go on.

use berth_runtime::cgroup::Cgroup;

use crate::error::{Error, Result};
use crate::grammar::{Call, Command};
use crate::record::Status;
use crate::store::Store;

/// `pause`.
pub static PAUSE: Command = Command {
    name: "pause",
    arguments: "ID",
    about: "suspend all processes of a container",
    flags: &[],
    arity: (1, 1),
    run: |call| change(call, "pause", Cgroup::freeze, |status| matches!(status, Status::Running | Status::Created)),
};

/// `resume`.
pub static RESUME: Command = Command {
    name: "resume",
    arguments: "ID",
    about: "let the processes of a paused container go on",
    flags: &[],
    arity: (1, 1),
    run: |call| change(call, "resume", Cgroup::thaw, |status| status == Status::Paused),
};

fn change(
    call: &Call,
    act: &'static str,
    with: fn(&Cgroup) -> berth_runtime::cgroup::Result<()>,
    from: fn(Status) -> bool,
) -> Result<u8> {
    let (place, record) = Store::new(&call.global.root).find(call.id())?;
    let status = record.status(&place);
    if !from(status) {
        return Err(Error::State(format!("cannot {act} container {}: it is {}", record.id, status.word())));
    }
    let cgroup = record.cgroup();
    let cgroup = cgroup.ok_or_else(|| Error::Missing(format!("cannot {act}: the container has no control group")))?;
    with(&cgroup)?;
    Ok(0)
}

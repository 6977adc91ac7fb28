//! `berth update`.

use super::body;
use crate::call::{Call, Failure, Outcome};
use crate::grammar::number::{check_cpus, check_swap, check_u16};
use crate::grammar::{Arity, Command, Flag};

static FLAGS: &[Flag] = &[
    Flag::text("blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
        .value("uint16")
        .check(check_u16),
    Flag::int("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
    Flag::int("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    Flag::int("cpu-rt-period", "Limit the CPU real-time period in microseconds"),
    Flag::int("cpu-rt-runtime", "Limit the CPU real-time runtime in microseconds"),
    Flag::int("cpu-shares", "CPU shares (relative weight)").short('c'),
    Flag::text("cpus", "Number of CPUs").value("decimal").check(check_cpus),
    Flag::text("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag::text("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag::bytes("memory", "Memory limit").short('m'),
    Flag::bytes("memory-reservation", "Memory soft limit"),
    Flag::bytes("memory-swap", "Swap limit equal to memory plus swap: -1 to enable unlimited swap").check(check_swap),
    Flag::int("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
    Flag::list("publish-add", "Publish more of a container's ports to the host"),
    Flag::list("publish-rm", "Take back published ports (8080:80, or 80/udp for all of it)"),
    Flag::text("restart", "Restart policy to apply when a container exits"),
];

/// `berth update`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers",
    Arity::AtLeast(1),
    |call| Box::pin(update(call)),
)
.with(&[FLAGS])
.at(&["container update", "update"]);

async fn update(call: Call) -> Outcome {
    if !call.flags.any() {
        return Err(Failure::new("you must provide one or more flags when using this command"));
    }
    let body = body::update(&call.flags).map_err(Failure::new)?;
    let client = call.client()?;
    call.each(&call.args, async |name| {
        let updated = client.update(name, &body).await?;
        for warning in updated.warnings {
            crate::complain!("{warning}");
        }
        Ok(())
    })
    .await
}

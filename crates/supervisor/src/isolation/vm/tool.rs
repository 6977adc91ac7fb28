//! A machine for one tool: the files of a container that does not run are looked at by a guest, as those of one that runs
//! are. It has no network, and nothing of the container's runs in it.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::Duration,
};

use berth_vm::{
    message::{Request, Setup},
    plan::Plan,
};
use oci_spec::runtime::Spec;

use super::{Ended, Failure, Machine, Streams, failed};
use crate::isolation::{Isolation as _, process::failure};

/// A guest boots within this time.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// How long one wait for bytes is; the tool itself may take any time.
const TURN: Duration = Duration::from_secs(1);
/// The tool's number: the main process has 0.
const KEY: u32 = 1;

/// Runs a tool (see `berth_vm::guest::tool`) in a machine of the bundle's plan, on this process's own standard streams;
/// its exit code.
///
/// # Errors
/// The step that failed.
pub fn run(bundle: &Path, arguments: Vec<String>) -> Result<i32, Failure> {
    let plan = Plan::read(bundle).map_err(|error| failed("bundle", &error))?;
    let mut machine = Machine::of(bundle, plan, Spec::default());
    let outcome = machine.run_tool(arguments);
    machine.clear();
    machine.remove();
    outcome.map_err(|failure| Failure { message: format!("{}{}", failure.message, machine.console.tail()), ..failure })
}

impl Machine {
    fn run_tool(&mut self, arguments: Vec<String>) -> Result<i32, Failure> {
        self.make_jail()?;
        let created = self.gate.take().ok_or_else(|| Failure::new("state", "there is no machine"))?;
        let taps = super::network::pass_on(created.container.pid, self.plan.ids.0, self.plan.nics);
        let released = taps.and_then(|_| created.release().map_err(|error| failure("start the monitor", &error)));
        self.jail = Some(created.container);
        released?;
        let listener = self.listener.take().ok_or_else(|| Failure::new("state", "there is no machine"))?;
        let channel = self.accept(&listener)?;
        self.connect(channel)?;
        let setup = Setup { sysctls: Vec::new(), ..self.setup(Vec::new())? };
        self.request(Request::Setup(Box::new(setup)), BOOT_LIMIT)?;
        self.serve_tool(arguments)
    }

    fn serve_tool(&mut self, arguments: Vec<String>) -> Result<i32, Failure> {
        let own = |stream: std::io::Result<OwnedFd>| stream.map_err(|error| failed("take the streams", &error));
        let streams = Streams {
            input: own(std::io::stdin().as_fd().try_clone_to_owned())?,
            output: own(std::io::stdout().as_fd().try_clone_to_owned())?,
            error: Some(own(std::io::stderr().as_fd().try_clone_to_owned())?),
        };
        let input = self.connect_outputs(KEY, streams)?;
        let child = self.child(KEY, 0, None)?;
        self.request(Request::Tool { key: KEY, arguments }, BOOT_LIMIT)?;
        self.connect_input(KEY, input, false)?;
        loop {
            match self.collect(&child) {
                Some(Ended::Code(code)) => {
                    // What was written must be there for the next machine.
                    self.request(Request::Sync, BOOT_LIMIT)?;
                    return Ok(code);
                }
                Some(Ended::Signal(signal)) => {
                    return Err(Failure::new("guest", format!("the tool was ended by signal {signal}")));
                }
                None => self.pump(TURN)?,
            }
        }
    }
}

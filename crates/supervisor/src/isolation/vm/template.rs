//! Making a template: a machine boots, its agent answers once, and its state is written down.

use std::{
    fs,
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

use berth_vm::{
    jail::{STATE_SOCKET, run_dir},
    message::Request,
    plan::Plan,
    qemu::Qmp,
};
use oci_spec::runtime::Spec;
use serde_json::json;

use super::{Failure, Machine, failed};
use crate::isolation::{Isolation as _, process::failure};

/// A guest boots within this time.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// The monitor's control socket appears within this time.
const SOCKET_LIMIT: Duration = Duration::from_secs(30);

/// Makes the template that the plan of `bundle` names; nothing is left behind when it fails.
///
/// # Errors
/// The step that failed.
pub fn make(bundle: &Path) -> Result<(), Failure> {
    let plan = Plan::read(bundle).map_err(|error| failed("bundle", &error))?;
    let target = plan.template.clone().ok_or_else(|| Failure::new("bundle", "it names no template"))?;
    let mut machine = Machine::of(bundle, plan, Spec::default());
    machine.becomes_template = true;
    let outcome = machine.make_template(&target);
    machine.clear();
    machine.remove();
    outcome.map_err(|failure| {
        let _ = fs::remove_file(&target);
        Failure { message: format!("{}{}", failure.message, machine.console.tail()), ..failure }
    })
}

impl Machine {
    fn make_template(&mut self, target: &Path) -> Result<(), Failure> {
        self.make_jail()?;
        let created = self.gate.take().ok_or_else(|| Failure::new("state", "there is no machine"))?;
        let taps = super::network::pass_on(created.container.pid, self.plan.ids.0, self.plan.nics);
        let released = taps.and_then(|_| created.release().map_err(|error| failure("start the monitor", &error)));
        self.jail = Some(created.container);
        released?;
        let listener = self.listener.take().ok_or_else(|| Failure::new("state", "there is no machine"))?;
        let channel = self.accept(&listener)?;
        self.connect(channel)?;
        self.request(Request::Sync, BOOT_LIMIT)?;
        self.save(target)
    }

    fn save(&self, target: &Path) -> Result<(), Failure> {
        let run = run_dir(&self.bundle);
        let io = |act: &'static str| move |error: std::io::Error| failed(act, &error);
        let told = |error: berth_vm::Error| failed("take the template", &error);
        let listener = super::start::listen(&run, "state.sock")?;
        let mut qmp = Qmp::new(call(&run)?).map_err(told)?;
        // Not stopped before: what is restored goes on in the state in which it was left.
        let speed = json!({"max-bandwidth": 1_u64 << 34});
        qmp.execute("migrate-set-parameters", speed).map_err(told)?;
        qmp.execute("migrate", json!({"uri": format!("unix:{STATE_SOCKET}")})).map_err(told)?;
        let mut stream = UnixStream::from(self.accept(&listener)?);
        let mut file = fs::File::create(target).map_err(io("write the template"))?;
        std::io::copy(&mut stream, &mut file).map_err(io("write the template"))?;
        let status = qmp.execute("query-migrate", json!({})).map_err(told)?;
        if status["status"] != "completed" {
            return Err(Failure::new("template", format!("the monitor did not write it whole: {status}")));
        }
        Ok(())
    }
}

/// Connects to the monitor's control socket, through its directory: the whole path may be too long for an address.
fn call(run: &Path) -> Result<UnixStream, Failure> {
    let home = fs::File::open(run).map_err(|error| failed("open the machine's directory", &error))?;
    let path = format!("/proc/self/fd/{}/qmp.sock", std::os::fd::AsRawFd::as_raw_fd(&home.as_fd()));
    let started = Instant::now();
    loop {
        match UnixStream::connect(&path) {
            Ok(stream) => return Ok(stream),
            Err(error) if started.elapsed() > SOCKET_LIMIT => return Err(failed("reach the monitor", &error)),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

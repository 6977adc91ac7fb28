//! What happens to a running machine is booked here, whoever caused it.

use std::sync::Arc;

use berth_kit::time::Timestamp;
use berth_runtime::cgroup::{Cgroup, CgroupPath};

use crate::{
    Machines, Status, files,
    keeper::{client::Watch, protocol::Event},
    machines::{Machine, Shared, blocking},
    record::Exit,
};

impl Machines {
    /// Follows a machine until its monitor has ended.
    pub(crate) fn follow(&self, machine: &Arc<Machine>, mut watch: Watch) {
        let (this, machine) = (self.clone(), Arc::clone(machine));
        tokio::spawn(async move {
            loop {
                match watch.next().await {
                    Some(Event::Paused) => machine.set_status(Status::Paused),
                    Some(Event::Resumed) => machine.set_status(Status::Running),
                    Some(Event::Reset) => this.shared.publish(&machine, "reset"),
                    Some(Event::Ended(exit)) => return this.shared.book_end(&machine, Some(exit)).await,
                    None => return this.shared.book_end(&machine, None).await,
                }
            }
        });
    }
}

impl Shared {
    /// A monitor has ended; without an exit its keeper was killed, and the monitor may still be there.
    pub async fn book_end(&self, machine: &Machine, exit: Option<Exit>) {
        let exit = exit.unwrap_or_else(|| {
            let at_ns = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0);
            Exit { version: 1, at_ns, code: -1, reason: "lost".to_owned(), said: String::new() }
        });
        self.clear(machine).await;
        if exit.code != 0 && exit.reason != "killed" {
            tracing::warn!(machine = machine.name, exit.reason, exit.said, "a machine's monitor ended badly");
        }
        let base = machine.facts().ids_base;
        machine.change(|facts| {
            facts.exit = Some(exit);
            facts.running = None;
            facts.started_ns = None;
            facts.ids_base = None;
        });
        base.into_iter().for_each(|base| self.release_ids(base));
        let is_saved = files::saved(&self.home(&machine.name)).exists();
        self.publish(machine, "die");
        // Last: who waits for the end may start it anew at once.
        machine.set_status(if is_saved { Status::Suspended } else { Status::Off });
    }

    /// Takes away what a run had outside of the machine's own directory.
    pub async fn clear(&self, machine: &Machine) {
        let definition = machine.definition();
        let (cgroup, run) = (self.cgroup(&definition.id()), self.run(&machine.name));
        let cleared = blocking(move || {
            kill_group(&cgroup);
            files::remove_tree(&run)
        })
        .await;
        if let Err(error) = cleared {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(machine = machine.name, error, "something of a machine's run stays");
        }
        self.detach(&definition).await;
    }
}

/// Whoever is left of a monitor without a keeper.
fn kill_group(cgroup: &str) {
    let Ok(cgroup) = CgroupPath::parse(cgroup).and_then(|path| Cgroup::open(&path)) else { return };
    // None is left where the keeper did its work; what cannot be removed now is tried at the next start.
    let _ = cgroup.kill_all();
    for _ in 0..50 {
        if cgroup.remove().is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

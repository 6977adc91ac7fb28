//! `start`: from a definition to a running monitor; each step that fails undoes those before it.

use std::{
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use berth_kit::time::Timestamp;
use berth_vm::{
    doctor::{self, Probe},
    host,
};
use serde_json::json;

use crate::{
    Error, Machines, Result, Status, files,
    keeper::{
        client::{self, Waiting},
        protocol::{self, Plan},
    },
    machines::{IDS_LEN, Machine, blocking, own_files},
    pci, qemu,
    record::{Definition, Run},
    seed, state,
};

/// Beside the guest's memory, what a monitor with passed-through devices locks, in bytes.
const LOCKED_BYTES: u64 = 512 << 20;
/// A state is read within this time.
const RESTORE_LIMIT: Duration = Duration::from_secs(300);

/// A state to go on from.
#[derive(Debug, Clone)]
pub struct Warm {
    /// Where it is.
    pub state: PathBuf,
    /// The machine as it was when the state was written: the state fits no other.
    pub definition: Definition,
}

impl Machines {
    /// Starts a machine; a suspended one goes on where it was.
    ///
    /// # Errors
    /// [`Error::Already`] for one that runs; [`Error::Start`] with what hinders it, and nothing of it is left.
    pub async fn start(&self, name: &str) -> Result<()> {
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        match machine.status() {
            Status::Off => self.start_in_turn(&machine, None).await,
            Status::Suspended => self.resume_from_disk(&machine).await,
            Status::Running => Err(Error::Already(machine.name.clone(), "running")),
            Status::Paused => Err(Error::State {
                name: machine.name.clone(),
                state: "paused",
                advice: "let it go on with `berth vm resume`",
            }),
        }
    }

    /// Starts a machine that is off, or goes on from a state. The caller has its turn.
    pub(crate) async fn start_in_turn(&self, machine: &Arc<Machine>, warm: Option<Warm>) -> Result<()> {
        let definition = match &warm {
            Some(warm) => Arc::new(warm.definition.clone()),
            None => machine.definition(),
        };
        let ids = self.shared.take_ids()?;
        let outcome = self.try_start(machine, &definition, ids, warm.as_ref()).await;
        if let Err(error) = outcome {
            // A monitor that ran for a moment is booked by who follows it.
            if machine.status().is_alive() {
                let _ = self.shared.keeper(&machine.name).kill().await;
                machine.ended_within(Duration::from_secs(10)).await;
            } else {
                self.shared.clear(machine).await;
                self.shared.release_ids(ids);
            }
            return Err(match error {
                Error::Invalid(_) | Error::Start { .. } => error,
                other => Error::Start { name: machine.name.clone(), reason: crate::error::sentence(&other) },
            });
        }
        Ok(())
    }

    async fn try_start(
        &self,
        machine: &Arc<Machine>,
        definition: &Arc<Definition>,
        ids: u32,
        warm: Option<&Warm>,
    ) -> Result<()> {
        let started_ns = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0);
        self.prepare(definition, ids, started_ns, warm).await?;
        let run = self.shared.run(&machine.name);
        let fail = |reason| Error::Start { name: machine.name.clone(), reason };
        let waiting = client::spawn(&run, &self.shared.config.exe).await.map_err(fail)?;
        self.join(definition, &waiting).await?;
        waiting.start().await.map_err(fail)?;
        let (watch, _) = self.shared.keeper(&machine.name).watch().await.map_err(fail)?;
        machine.change(|facts| {
            facts.running = Some(Arc::clone(definition));
            facts.started_ns = Some(started_ns);
            facts.ids_base = Some(ids);
        });
        machine.set_status(Status::Running);
        self.follow(machine, watch);
        self.settle_in(machine, definition, warm).await?;
        self.shared.publish(machine, "start");
        Ok(())
    }

    /// Everything on disk that a keeper needs.
    async fn prepare(
        &self,
        definition: &Arc<Definition>,
        ids: u32,
        started_ns: i64,
        warm: Option<&Warm>,
    ) -> Result<()> {
        let (home, run) = (self.shared.home(&definition.name), self.shared.run(&definition.name));
        let cgroup = self.shared.cgroup(&definition.id());
        let (definition, state) = (Arc::clone(definition), warm.map(|warm| warm.state.clone()));
        blocking(move || {
            let plan = plan(&definition, &home, ids, cgroup, state)?;
            files::remove_file(&home.join("exit.json"))?;
            files::remove_tree(&run)?;
            files::make_directory(&run)?;
            files::write_definition(&run, &definition)?;
            files::write_json(&run.join("run.json"), &Run { version: 1, ids_base: ids, started_ns })?;
            plan.write(&run).map_err(Error::file("write the plan in", &run))
        })
        .await
    }

    /// Joins the waiting monitor to its networks, and tells the guest's seed.
    async fn join(&self, definition: &Arc<Definition>, waiting: &Waiting) -> Result<()> {
        let addresses = self.shared.attach(definition, waiting.pid).await?;
        if definition.cloud_init.is_none() || addresses.is_empty() {
            return Ok(());
        }
        let (definition, path) = (Arc::clone(definition), self.shared.home(&definition.name).join("seed.iso"));
        blocking(move || {
            let Some(init) = &definition.cloud_init else { return Ok(()) };
            let image = seed::image(&definition, init, &addresses);
            // The same file: the jail shows it already.
            let written = std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| {
                file.set_len(image.len() as u64)?;
                file.write_all_at(&image, 0)
            });
            written.map_err(Error::file("write", &path))
        })
        .await
    }

    /// What has to be said to a monitor that runs: the end of its restore, the size of its balloon.
    async fn settle_in(&self, machine: &Machine, definition: &Definition, warm: Option<&Warm>) -> Result<()> {
        let keeper = self.shared.keeper(&machine.name);
        if warm.is_some() {
            state::incoming(&keeper, RESTORE_LIMIT).await.map_err(|reason| machine.monitor(reason))?;
            return self.go_on(machine).await;
        }
        if let Some(bytes) = definition.balloon_bytes {
            let told = keeper.execute("balloon", json!({"value": bytes})).await;
            told.map_err(|reason| machine.monitor(reason))?;
        }
        Ok(())
    }
}

/// What the keeper is told, with everything checked that it needs of the host.
fn plan(definition: &Definition, home: &Path, ids: u32, cgroup: String, state: Option<PathBuf>) -> Result<Plan> {
    let program = host::qemu().ok_or_else(|| {
        Error::Host("qemu-system-x86_64 is not installed (Debian: apt-get install qemu-system-x86)".to_owned())
    })?;
    let passed = pci::Host::default().pass(&definition.pci)?;
    let seed = definition.cloud_init.as_ref().map(|_| home.join("seed.iso"));
    if let (Some(path), Some(init)) = (&seed, &definition.cloud_init) {
        // Written again, in place, when the addresses are known.
        files::replace(path, &seed::image(definition, init, &[]))?;
    }
    let own = own_files(home);
    for source in definition.sources() {
        crate::copy::require_file(&qemu::path_of(&own, source))?;
    }
    let host = qemu::Host {
        program: &program,
        kvm: matches!(doctor::probe(), Probe::Fast(_)),
        files: &own,
        seed: seed.as_deref(),
        restored: state.is_some(),
    };
    let mut line = qemu::line(definition, &host)?;
    let (user_mode, passes) = (definition.is_user_mode(), !definition.pci.is_empty());
    let resolver = PathBuf::from("/etc/resolv.conf");
    if user_mode && resolver.exists() {
        line.files.push(("/etc/resolv.conf".to_owned(), resolver, false));
    }
    if passes {
        line.files.push(("/sys".to_owned(), "/sys".into(), false));
    }
    Ok(Plan {
        version: protocol::VERSION,
        arguments: line.arguments,
        files: line.files,
        devices: passed.nodes,
        ids: (ids, IDS_LEN),
        cgroup,
        host_network: user_mode,
        locked_bytes: passes.then_some(definition.memory_bytes + LOCKED_BYTES),
        taps: if user_mode { 0 } else { u32::try_from(definition.networks.len()).unwrap_or(0) },
        state,
        exit: home.join("exit.json"),
        console_log: home.join("console.log"),
    })
}

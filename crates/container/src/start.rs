//! `start`: from a record to a running process.
//!
//! ```text
//! resolve namespaces ─► take ids ─► sources of mounts ─► specification ─► bundle on disk
//!   ─► record "about to run" ─► spawn supervisor (its init mounts everything, then waits at the gate)
//!   ─► attach network to the init's namespace ─► hosts, resolv.conf ─► open the gate ─► record "running"
//! ```
//! Each step that leaves something behind is undone by [`Containers::unwind`] when a later one fails.

use std::{path::Path, sync::Arc};

use berth_kit::time::Timestamp;
use berth_supervisor::Handle;
use berth_sys::user_namespace;

use crate::{
    Containers, Error, Result, StartRequest,
    containers::Container,
    device_request, identity, machine,
    oci_spec::{self, Namespaces},
    record::{Attachment, Record, Status},
};

impl Containers {
    /// Starts a container.
    ///
    /// # Errors
    /// [`Error::Already`] when it runs, [`Error::Paused`], [`Error::Start`] with the exit code that Docker's client
    /// gives (127 not found, 126 not executable), or what failed on the way.
    pub async fn start(&self, name: &str, request: StartRequest) -> Result<()> {
        if request.checkpoint.is_some() {
            return Err(Error::NotBuilt("start from a checkpoint"));
        }
        let container = self.shared.find(name)?;
        let _turn = container.turn.lock().await;
        match container.status() {
            Status::Running => return Err(Error::Already(name.to_owned(), "running")),
            Status::Paused => {
                return Err(Error::Conflict("cannot start a paused container, try unpause instead".to_owned()));
            }
            Status::Removing | Status::Dead => {
                return Err(Error::Conflict("container is marked for removal and cannot be started".to_owned()));
            }
            Status::Created | Status::Exited | Status::Restarting => {}
        }
        self.shared.change(&container, |record| {
            record.stopped_by_user = false;
            record.restart_count = 0;
        })?;
        container.nudge.notify_waiters();
        self.start_in_turn(&container).await
    }

    /// Starts a container whose turn the caller holds.
    pub(crate) async fn start_in_turn(&self, container: &Arc<Container>) -> Result<()> {
        let outcome = self.launch(container).await;
        if let Err(error) = &outcome {
            let text = error.to_string();
            let exit_code = if let Error::Start { exit_code, .. } = error { *exit_code } else { 128 };
            self.unwind(container).await;
            container.early_attaches().clear();
            self.shared.change(container, |record| {
                record.state.status = if record.state.started_at.is_some() { Status::Exited } else { Status::Created };
                record.state.pid = 0;
                record.state.exit_code = exit_code;
                record.state.error.clone_from(&text);
                record.state.id_range = None;
                record.network = Attachment::default();
            })?;
            self.finish_waits(container, exit_code, None);
            if container.read().auto_remove() {
                self.remove_in_turn(container, true).await?;
            }
        }
        outcome
    }

    async fn launch(&self, container: &Arc<Container>) -> Result<()> {
        let config = &self.shared.config;
        let mut record = container.read().clone();
        let namespaces = self.namespaces_of(&record, true)?;
        self.check_ipc_donor(&record)?;
        if let Some(partner) = record.network_mode().strip_prefix("container:") {
            // Who has another's addresses goes by its name too.
            let partner = self.shared.find(partner)?;
            let known = partner.read();
            let (hostname, domainname) = (known.config.hostname.clone(), known.config.domainname.clone());
            drop(known);
            (record.config.hostname, record.config.domainname) = (hostname, domainname);
        }
        let ids = self.take_ids(&namespaces)?;
        let sources = self.mount_sources(&record).await?;
        record.state.id_range = ids;
        self.shared.change(container, |stored| stored.state.id_range = ids)?;

        let bundle = config.bundle_dir(&record.id);
        let mut template = None;
        if machine::is_wanted(&record) {
            self.write_bundle(&record, &machine::guest(), &sources, &bundle)?;
            template = self.write_machine(&record, &bundle).await?;
        } else {
            self.write_bundle(&record, &namespaces, &sources, &bundle)?;
        }
        let spawned = berth_supervisor::spawn(&bundle, &config.exe).await.map_err(start_error)?;
        let pid = u32::try_from(spawned.pid).unwrap_or(0);

        // Side by side, each to its end: a network that is half attached could not be taken back.
        let (network, watch, connected) = tokio::join!(
            self.attach_network(&record, &namespaces, pid),
            spawned.handle.watch(),
            self.connect_early(container, &spawned.handle),
        );
        let (network, watch, ()) = (network?, watch?, connected?);
        // Before the gate opens: a daemon that dies here finds a supervisor that waits, and undoes the start.
        self.shared.change(container, |stored| {
            stored.network = network;
            stored.state.pid = pid;
            stored.state.status = Status::Running;
            stored.state.started_at = Some(Timestamp::now());
            stored.state.finished_at = None;
            stored.state.exit_code = 0;
            stored.state.error.clear();
            stored.state.oom_killed = false;
        })?;
        spawned.handle.start().await.map_err(start_error)?;
        self.shared.publish(container, "start", &[]);
        self.follow(container, watch);
        self.begin_health(container);
        if let Some(plan) = template {
            self.make_template(plan);
        }
        Ok(())
    }

    /// The supervisor of a running container.
    pub(crate) async fn supervisor(&self, id: &str) -> Result<Handle> {
        Ok(Handle::connect(&self.shared.config.bundle_dir(id)).await?)
    }

    pub(crate) fn take_ids(&self, namespaces: &Namespaces) -> Result<Option<crate::id_range::IdRange>> {
        use oci_spec::Joined;
        match &namespaces.user {
            Joined::Host => Ok(None),
            // An engine without root has one range, and no means to show files with other owners.
            Joined::New if user_namespace::is_nested() => {
                let len = user_namespace::ids().min(crate::id_range::LEN);
                Ok(Some(crate::id_range::IdRange { host_base: 0, len }))
            }
            Joined::New => match self.shared.ids.take() {
                Some(range) => Ok(Some(range)),
                None => Err(Error::Conflict(
                    "all ranges of user ids are in use; stop a container or use --userns=host".to_owned(),
                )),
            },
            Joined::Of(pid) => {
                let partner = self.shared.all().into_iter().find(|other| other.read().state.pid == *pid);
                Ok(partner.and_then(|other| other.read().state.id_range))
            }
        }
    }

    /// The namespaces of a record; `running` demands that containers named in it run now.
    pub(crate) fn namespaces_of(&self, record: &Record, running: bool) -> Result<Namespaces> {
        if machine::is_wanted(record) {
            return Ok(machine::jail());
        }
        Namespaces::of(record, |name| {
            let partner = match self.shared.find(name) {
                Ok(partner) => partner,
                // It may come to be before the start.
                Err(Error::NoSuchContainer(_)) if !running => return Ok((0, true)),
                // What is missing is not the container that starts.
                Err(error) => return Err(Error::Invalid(error.to_string())),
            };
            if partner.id == record.id {
                return Err(Error::Invalid("cannot join own namespace".to_owned()));
            }
            let state = partner.read().state.clone();
            if running && !state.status.is_alive() {
                return Err(Error::Conflict(format!(
                    "cannot join namespace of a non running container: container {name} is {}",
                    state.status.as_str()
                )));
            }
            let own_user = state.id_range.is_some() || !state.status.is_alive();
            Ok((state.pid, own_user))
        })
    }

    /// A container whose IPC namespace is joined must have offered it.
    fn check_ipc_donor(&self, record: &Record) -> Result<()> {
        let Some(donor) = record.host.ipc_mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) else {
            return Ok(());
        };
        let donor = self.shared.find(donor)?;
        let offers = matches!(donor.read().host.ipc_mode.as_deref(), Some("shareable" | "host"))
            || donor.read().host.ipc_mode.as_deref().is_some_and(|mode| mode.starts_with("container:"));
        if offers {
            return Ok(());
        }
        Err(Error::Invalid(
            "failed to join IPC namespace: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
                .to_owned(),
        ))
    }

    fn write_bundle(
        &self,
        record: &Record,
        namespaces: &Namespaces,
        sources: &[std::path::PathBuf],
        bundle: &Path,
    ) -> Result<()> {
        let config = &self.shared.config;
        let console = record.host.console_size.as_deref().and_then(|size| match size {
            [rows, columns] if *rows > 0 => Some((u16::try_from(*rows).ok()?, u16::try_from(*columns).ok()?)),
            _ => None,
        });
        let cgroup = self.shared.cgroup_path(record);
        let edits = device_request::resolve(&record.host, &config.cdi_dirs)?;
        let spec = oci_spec::build(&oci_spec::Input {
            record,
            config,
            namespaces,
            ids: record.state.id_range.filter(|_| !machine::is_wanted(record)),
            sources,
            files: &config.container_dir(&record.id),
            cgroup: &cgroup,
            edits: &edits,
            linked: &self.link_environment(record),
            console,
        })?;
        crate::bundle::write(self, record, spec, bundle, console)
    }

    /// Gives the init its network, and its files their text.
    pub(crate) async fn attach_network(
        &self,
        record: &Record,
        namespaces: &Namespaces,
        pid: u32,
    ) -> Result<Attachment> {
        let attachment = self.attach_endpoints(record, namespaces, pid).await?;
        self.move_net_devices(record, pid as i32)?;
        self.write_identity(record, namespaces, &attachment)?;
        self.serve_names(record, pid as i32).await?;
        Ok(attachment)
    }

    fn write_identity(&self, record: &Record, namespaces: &Namespaces, attachment: &Attachment) -> Result<()> {
        let config = &self.shared.config;
        let dir = config.container_dir(&record.id);
        let partner = record.network_mode().strip_prefix("container:");
        if let Some(partner) = partner {
            let other = config.container_dir(&self.shared.find(partner)?.id);
            for name in ["hosts", "resolv.conf", "hostname"] {
                let path = other.join(name);
                let text = std::fs::read_to_string(&path).map_err(|error| Error::file("read", &path, error))?;
                identity::write(&dir, name, &text)?;
            }
            return Ok(());
        }
        let shares_network = namespaces.network == oci_spec::Joined::Host;
        let own = |list: &Option<Vec<String>>, default: &[String]| {
            list.clone().filter(|list| !list.is_empty()).unwrap_or_else(|| default.to_vec())
        };
        let resolver = identity::Resolver {
            servers: &own(&record.host.dns, &config.dns),
            search: &own(&record.host.dns_search, &config.dns_search),
            options: &own(&record.host.dns_options, &config.dns_options),
        };
        let host_text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let text = match self.asks_resolver(record) {
            true => identity::resolver_conf(&resolver, &host_text, self.resolver_address(record)),
            false => identity::resolv_conf(&resolver, &host_text, shares_network),
        };
        identity::write(&dir, "resolv.conf", &text)?;
        let endpoints: Vec<_> = attachment.networks.values().collect();
        let addresses: Vec<String> =
            endpoints.iter().flat_map(|one| crate::connect::addresses(one)).map(str::to_owned).collect();
        let gateway = endpoints.iter().find_map(|one| one.gateway.clone().filter(|text| !text.is_empty()));
        let mut text = identity::hosts(record, &addresses, gateway.as_deref(), &self.linked(record)?);
        if shares_network && let Ok(host_hosts) = std::fs::read_to_string("/etc/hosts") {
            text = host_hosts;
        }
        identity::write(&dir, "hosts", &text)
    }

    /// Takes back what a failed start left: processes, network, ids, bundle.
    pub(crate) async fn unwind(&self, container: &Container) {
        let record = container.read().clone();
        self.release(&record).await;
    }

    /// Whether the record's id range is its own, not that of a container it joined.
    pub(crate) fn owns_ids(&self, record: &Record) -> bool {
        let joins = |mode: Option<&str>| mode.is_some_and(|mode| mode.starts_with("container:"));
        let host = &record.host;
        ![host.network_mode.as_deref(), host.pid_mode.as_deref(), host.ipc_mode.as_deref()].into_iter().any(joins)
    }
}

/// What users know from Docker when a process cannot be started.
pub(crate) fn start_error(error: berth_supervisor::Error) -> Error {
    match error {
        berth_supervisor::Error::Failed(failure) => {
            let exit_code = if failure.step == "exec" { failure.exit_code() } else { 125 };
            Error::Start { exit_code, message: failure.message }
        }
        other => Error::Supervisor(other),
    }
}

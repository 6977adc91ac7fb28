//! `RUN`: a command in a container of the engine's default isolation.

use std::{os::fd::AsFd, sync::Arc};

use berth_container::{StepMount, StepRequest};
use berth_dockerfile::{Mount, MountKind, Network, Run, Script, Security, Sharing};
use berth_spec::{
    model::{ContainerConfig, DeviceRequest, HostConfig},
    stream::Decoder,
};
use tokio::io::AsyncReadExt;

use crate::{
    Error, Request, Result,
    cache::Key,
    checksum,
    context::blocking,
    layer::Scratch,
    mount::{self, Mounts},
    place,
    plan::Origin,
    select::{Filter, select},
    stage::{Solve, Step},
    state::State,
    tree::Tree,
};

/// A command with what it needs, before it is known whether it must run.
pub(crate) struct Command {
    argv: Vec<String>,
    /// A script of its own, run by its first line.
    file: Option<String>,
    mounts: Vec<(Mount, Option<Arc<Tree>>)>,
    network: Option<String>,
    insecure: bool,
    /// Qualified names of the devices that are there.
    devices: Vec<String>,
    /// For the history.
    pub shown: String,
}

/// Where a script of its own lies.
const SCRIPT: &str = "/dev/pipes/EOF";

impl Command {
    /// Reads the instruction with the values that hold.
    pub async fn read(solve: &Arc<Solve>, state: &State, step: &Step, run: &Run) -> Result<Self> {
        let (argv, file) = match run.script() {
            Script::Exec(words) => (words, None),
            Script::Shell(line) => (state.shell().into_iter().chain([line]).collect(), None),
            Script::File(text) => (vec![SCRIPT.to_owned()], Some(text)),
        };
        let mut mounts = Vec::new();
        for flag in &run.mounts {
            let mount = flag
                .resolve(|value| state.scope.expand_text(value))
                .map_err(|reason| step.fails(&solve.request, reason))?;
            let from = match &mount.kind {
                MountKind::Bind { from, .. } => Some(from.as_deref()),
                MountKind::Cache { from: Some(from), .. } => Some(Some(from.as_str())),
                _ => None,
            };
            let tree = match from {
                None => None,
                Some(name) => {
                    let origin = name.map_or(Origin::Main, |name| solve.origin(name, step.stage));
                    Some(solve.tree(&origin).await?)
                }
            };
            mounts.push((mount, tree));
        }
        let allowed = solve.request.allowed;
        let network = match run.network.as_ref().map(|network| network.value) {
            Some(Network::None) => Some("none".to_owned()),
            Some(Network::Host) if !allowed.host_network => return Err(not_allowed("network.host")),
            Some(Network::Host) => Some("host".to_owned()),
            Some(Network::Default) | None => solve.request.network.clone().filter(|name| name != "default"),
        };
        let insecure = run.security.as_ref().is_some_and(|security| security.value == Security::Insecure);
        if insecure && !allowed.insecure {
            return Err(not_allowed("security.insecure"));
        }
        let devices = devices(solve, step, run)?;
        let host = berth_spec::Platform::host();
        let own = berth_spec::Platform::of_config(&state.config);
        if !own.architecture.is_empty() && !crate::builder::can_run(&host, &own) {
            let text = format!(
                "a command for {own} cannot run on {host}: no emulator is registered for it with binfmt_misc \
                 (install qemu-user-static, or build this stage with FROM --platform=$BUILDPLATFORM)"
            );
            return Err(step.fails(&solve.request, text));
        }
        let arguments = state.scope.arguments();
        let mut shown = String::from("RUN ");
        if !arguments.is_empty() {
            shown.push_str(&format!("|{} ", arguments.len()));
            arguments.iter().for_each(|(name, value)| shown.push_str(&format!("{name}={value} ")));
        }
        shown.push_str(&argv.join(" "));
        Ok(Self { argv, file, mounts, network, insecure, devices, shown })
    }

    /// What the command reads.
    pub async fn key(&self, solve: &Arc<Solve>, state: &State) -> Result<Key> {
        let mut key = Key::default();
        key.text("command", &format!("{:?} {:?}", self.argv, self.file));
        key.text("below", state.top.as_ref().map_or("", |top| top.as_str()));
        for (name, value) in state.scope.env() {
            key.text(format!("env {name}"), value);
        }
        for (name, value) in state.scope.arguments() {
            key.text(format!("arg {name}"), &value);
        }
        key.text("user", &state.config.config.user);
        key.text("workdir", state.workdir());
        key.text("network", self.network.as_deref().unwrap_or_default());
        key.text("security", if self.insecure { "insecure" } else { "" });
        if !self.devices.is_empty() {
            key.text("devices", &self.devices.join(" "));
        }
        key.text("epoch", &format!("{:?}", solve.epoch));
        for (mount, tree) in &self.mounts {
            key.text(format!("mount {}", mount.target.as_deref().unwrap_or_default()), &format!("{:?}", mount.kind));
            let (Some(tree), MountKind::Bind { source, .. }) = (tree, &mount.kind) else { continue };
            let (tree, solve) = (Arc::clone(tree), Arc::clone(solve));
            let source = source.clone().unwrap_or_else(|| "/".to_owned());
            let sums = blocking(move || {
                let found =
                    select(tree.root(), &source, Filter { ignore: solve.ignore_of(&tree), ..Filter::default() })?;
                let mut all = Vec::new();
                for one in &found {
                    let sums = solve.shared.checksums.of(&one.items, true)?;
                    all.extend(
                        one.items.iter().zip(sums).map(|(item, sum)| (format!("{}/{}", one.path, item.target), sum)),
                    );
                }
                Ok(all)
            });
            for (path, sum) in sums.await? {
                key.sum(format!("file {}", path.trim_matches('/')), &sum);
            }
        }
        Ok(key)
    }

    /// Runs it on a layer of its own.
    pub async fn run(&self, solve: &Arc<Solve>, state: &State, step: &Step) -> Result<Scratch> {
        let (snapshots, top) = (Arc::clone(&solve.shared.snapshots), state.top.clone());
        let scratch = blocking(move || Scratch::create(&snapshots, top.as_ref())).await?;
        let work = solve.shared.contexts.temporary()?;
        let mut mounts = Mounts::default();
        mounts.env.extend(state.environment());
        self.mount_all(solve, &work.path, &mut mounts).await?;
        let root = scratch.mount(false)?;
        let stubs = mount::stubs(root.as_fd(), &mounts.list);
        drop(root);
        let request = StepRequest {
            rootfs: scratch.rootfs(),
            config: self.config(state, &mounts),
            host: self.host(&solve.request),
            mounts: std::mem::take(&mut mounts.list),
        };
        let code = follow(solve, step, request).await?;
        drop(mounts);
        drop(work);
        if code != 0 {
            return Err(Error::Command { command: self.argv.join(" "), code });
        }
        if !stubs.is_empty() {
            let root = scratch.mount(false)?;
            mount::remove_stubs(root.as_fd(), &stubs);
        }
        Ok(scratch)
    }

    fn config(&self, state: &State, mounts: &Mounts) -> ContainerConfig {
        ContainerConfig {
            cmd: Some(self.argv.clone()),
            env: Some(mounts.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            user: Some(state.config.config.user.clone()),
            working_dir: Some(state.workdir().to_owned()),
            ..ContainerConfig::default()
        }
    }

    fn host(&self, request: &Request) -> HostConfig {
        HostConfig {
            network_mode: self.network.clone(),
            privileged: Some(self.insecure),
            device_requests: (!self.devices.is_empty()).then(|| vec![described(&self.devices)]),
            extra_hosts: Some(request.add_hosts.clone()),
            shm_size: request.shm_bytes,
            ulimits: Some(request.ulimits.clone()).filter(|limits| !limits.is_empty()),
            cgroup_parent: request.cgroup_parent.clone(),
            memory: request.memory_bytes,
            memory_swap: request.memory_swap_bytes,
            cpu_shares: request.cpu_shares,
            cpu_period: request.cpu_period_us,
            cpu_quota: request.cpu_quota_us,
            cpuset_cpus: request.cpuset_cpus.clone(),
            cpuset_mems: request.cpuset_mems.clone(),
            security_opt: Some(request.security_options.clone()).filter(|options| !options.is_empty()),
            ..HostConfig::default()
        }
    }

    async fn mount_all(&self, solve: &Arc<Solve>, work: &std::path::Path, mounts: &mut Mounts) -> Result<()> {
        if let Some(text) = &self.file {
            let path = work.join("script");
            write_private(&path, text.as_bytes(), 0o755, (0, 0))?;
            mounts.list.push(bind(path, SCRIPT, false));
        }
        for (mount, tree) in &self.mounts {
            let target = mount.target.as_deref();
            match &mount.kind {
                MountKind::Bind { source, writable, .. } => {
                    let source = source.as_deref().unwrap_or("/");
                    let Some(tree) = tree else { continue };
                    self.bind(tree, source, target.unwrap_or("/"), *writable, work, mounts).await?;
                }
                MountKind::Cache { .. } => cache(solve, mount, tree.as_ref(), mounts).await?,
                MountKind::Tmpfs { size_bytes } => mounts.list.push(StepMount {
                    source: None,
                    destination: place_of(target.unwrap_or("/")),
                    writable: true,
                    tmpfs_options: size_bytes.iter().map(|bytes| format!("size={bytes}")).collect(),
                }),
                MountKind::Secret { .. } => secret(solve, mount, work, mounts).await?,
                MountKind::Ssh { .. } => ssh(solve, mount, work, mounts).await?,
            }
        }
        Ok(())
    }

    async fn bind(
        &self,
        tree: &Arc<Tree>,
        source: &str,
        target: &str,
        writable: bool,
        work: &std::path::Path,
        mounts: &mut Mounts,
    ) -> Result<()> {
        // A stage's tree is an overlay, which cannot be shown with other owners; what is written is thrown away.
        let place = match writable || tree.memo.is_some() {
            false => mount::attach(tree, source, work, mounts)?,
            true => {
                let place = work.join(format!("copy-{}", mounts.list.len()));
                std::fs::create_dir(&place).map_err(Error::file("create", &place))?;
                let (tree, source, to) = (Arc::clone(tree), source.to_owned(), place.clone());
                match blocking(move || mount::copy_out(&tree, &source, &to)).await? {
                    Some(name) => place.join(name),
                    None => place,
                }
            }
        };
        mounts.list.push(bind(place, target, writable));
        Ok(())
    }
}

fn not_allowed(name: &str) -> Error {
    Error::Forbidden(format!("{name} is not allowed: allow it with --allow {name}"))
}

/// The devices that the command asks for and this host describes (CDI). One that is not there is left out unless it is
/// required.
fn devices(solve: &Solve, step: &Step, run: &Run) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if run.devices.is_empty() {
        return Ok(found);
    }
    let (dirs, known) = solve.shared.containers.described_devices();
    for device in &run.devices {
        let name = &device.value.name;
        let these = of_name(name, &known);
        if these.is_empty() && device.value.required {
            let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            let text =
                format!("device {name} is not there: no file in {} describes such a device (CDI)", dirs.join(" or "));
            return Err(step.fails(&solve.request, text));
        }
        found.extend(these);
    }
    found.sort();
    found.dedup();
    match found.is_empty() || solve.request.allowed.device {
        true => Ok(found),
        false => Err(not_allowed("device")),
    }
}

/// `vendor.com/class=name`, `vendor.com/class=*` for all of them, `vendor.com/class` for the first.
fn of_name(name: &str, known: &[String]) -> Vec<String> {
    let kind = name.split_once('=').map_or(name, |(kind, _)| kind);
    let of_kind = known.iter().filter(|one| one.split_once('=').is_some_and(|(own, _)| own == kind));
    match name.split_once('=') {
        Some((_, "*")) => of_kind.cloned().collect(),
        Some(_) => known.iter().filter(|one| *one == name).cloned().collect(),
        None => of_kind.take(1).cloned().collect(),
    }
}

fn described(devices: &[String]) -> DeviceRequest {
    DeviceRequest { driver: Some("cdi".to_owned()), device_ids: Some(devices.to_vec()), ..DeviceRequest::default() }
}

fn place_of(target: &str) -> String {
    crate::tree::join("/", target)
}

fn bind(source: std::path::PathBuf, target: &str, writable: bool) -> StepMount {
    StepMount { source: Some(source), destination: place_of(target), writable, tmpfs_options: Vec::new() }
}

fn write_private(path: &std::path::Path, bytes: &[u8], mode: u32, owner: (u32, u32)) -> Result<()> {
    std::fs::write(path, bytes).map_err(Error::file("write", path))?;
    std::os::unix::fs::chown(path, Some(owner.0), Some(owner.1)).map_err(Error::file("chown", path))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).map_err(Error::file("chmod", path))
}

async fn cache(solve: &Arc<Solve>, mount: &Mount, tree: Option<&Arc<Tree>>, mounts: &mut Mounts) -> Result<()> {
    let MountKind::Cache { id, source, read_only, sharing, mode, uid, gid, .. } = &mount.kind else { return Ok(()) };
    let target = mount.target.clone().unwrap_or_else(|| "/".to_owned());
    let id = id.clone().unwrap_or_else(|| target.clone());
    let name = checksum::hex(&checksum::of_bytes(id.as_bytes()));
    let folders = &solve.shared.folders;
    let path = match sharing {
        Sharing::Shared => folders.shared(&name),
        Sharing::Locked => folders.locked(&name, mounts).await,
        Sharing::Private => folders.private(&name, mounts),
    };
    let (shared, tree, place) = (Arc::clone(&solve.shared), tree.map(Arc::clone), path.clone());
    let (source, mode, owner) = (source.clone().unwrap_or_else(|| "/".to_owned()), *mode, (*uid, *gid));
    blocking(move || {
        let from = tree.as_ref().map(|tree| (&**tree, source.as_str()));
        shared.folders.fill(&place, from, mode, owner)?;
        shared.note_cache_folder(&id, &place)
    })
    .await?;
    mounts.list.push(bind(path, &target, !read_only));
    Ok(())
}

async fn secret(solve: &Arc<Solve>, mount: &Mount, work: &std::path::Path, mounts: &mut Mounts) -> Result<()> {
    let MountKind::Secret { id, env, required, mode, uid, gid } = &mount.kind else { return Ok(()) };
    let id = id.clone().unwrap_or_else(|| place::split(mount.target.as_deref().unwrap_or_default()).1.to_owned());
    let found = solve.request.client.secret(&id).await.map_err(Error::Invalid)?;
    let Some(bytes) = found else {
        return if *required { Err(Error::Missing(format!("secret {id}: not found"))) } else { Ok(()) };
    };
    if let Some(name) = env {
        mounts.env.push((name.clone(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    if env.is_none() || mount.target.is_some() {
        let target = mount.target.clone().unwrap_or_else(|| format!("/run/secrets/{id}"));
        let path = work.join(format!("secret-{}", mounts.list.len()));
        write_private(&path, &bytes, *mode, (*uid, *gid))?;
        mounts.list.push(bind(path, &target, false));
    }
    Ok(())
}

async fn ssh(solve: &Arc<Solve>, mount: &Mount, work: &std::path::Path, mounts: &mut Mounts) -> Result<()> {
    let MountKind::Ssh { id, required, mode, uid, gid } = &mount.kind else { return Ok(()) };
    let id = id.clone().unwrap_or_else(|| "default".to_owned());
    let client = Arc::clone(&solve.request.client);
    if !client.has_ssh(&id).await {
        return match required {
            true => Err(Error::Missing(format!("unset ssh forward key {id}"))),
            false => Ok(()),
        };
    }
    let number = mounts.list.len();
    let path = work.join(format!("ssh-{number}"));
    mount::serve_ssh(client, id, &path, mounts)?;
    std::os::unix::fs::chown(&path, Some(*uid), Some(*gid)).map_err(Error::file("chown", &path))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(*mode);
    std::fs::set_permissions(&path, mode).map_err(Error::file("chmod", &path))?;
    let target = mount.target.clone().unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{number}"));
    if !mounts.env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK") {
        mounts.env.push(("SSH_AUTH_SOCK".to_owned(), target.clone()));
    }
    mounts.list.push(bind(path, &target, true));
    Ok(())
}

/// Runs the container to its end and tells what it says.
async fn follow(solve: &Arc<Solve>, step: &Step, request: StepRequest) -> Result<i64> {
    let mut running = solve.shared.containers.run_step(request).await?;
    let mut decoder = Decoder::default();
    let mut buffer = vec![0u8; 32 << 10];
    loop {
        let read = running.output.read(&mut buffer).await.map_err(Error::file("read", "the output of a step"))?;
        if read == 0 {
            break;
        }
        decoder.push(&buffer[..read]);
        while let Ok(Some((stream, bytes))) = decoder.next_frame() {
            solve.teller.log(&step.id, stream as u8, &bytes).await;
        }
    }
    let exit = running.wait().await;
    running.finish().await;
    let exit = exit?;
    if exit.oom_killed {
        solve.teller.log(&step.id, 2, b"the command was killed: out of memory\n").await;
    }
    Ok(exit.code)
}

#[cfg(test)]
mod tests {
    use super::of_name;

    #[test]
    fn devices_are_found_by_name_by_kind_and_all_at_once() {
        let known = ["a.com/x=0", "a.com/x=1", "b.com/x=0"].map(str::to_owned);
        assert_eq!(of_name("a.com/x=1", &known), ["a.com/x=1"]);
        assert_eq!(of_name("a.com/x", &known), ["a.com/x=0"]);
        assert_eq!(of_name("a.com/x=*", &known), ["a.com/x=0", "a.com/x=1"]);
        assert!(of_name("a.com", &known).is_empty() && of_name("a.com/x=2", &known).is_empty());
    }
}

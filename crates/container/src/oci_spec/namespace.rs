//! Which namespaces a container has of its own, shares with the host, or joins.

use serde_json::{Value, json};

use crate::record::Record;

/// One namespace of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// Its own.
    New,
    /// The host's.
    Host,
    /// That of the process with this id.
    Of(u32),
}

impl Joined {
    /// Whether it is the container's own.
    pub fn is_new(&self) -> bool {
        *self == Self::New
    }

    /// Whether it is another container's.
    pub fn is_joined(&self) -> bool {
        matches!(self, Self::Of(_))
    }
}

/// The namespaces of a container; mount and cgroup are decided elsewhere or always its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespaces {
    /// User and group ids.
    pub user: Joined,
    /// Network.
    pub network: Joined,
    /// Process ids.
    pub pid: Joined,
    /// System V and POSIX message queues, shared memory.
    pub ipc: Joined,
    /// Host name.
    pub uts: Joined,
    /// View of the cgroup tree.
    pub cgroup: Joined,
    /// Clocks.
    pub time: Joined,
}

impl Namespaces {
    /// The namespaces that a record asks for; `leader` gives the process id of a container named in `container:NAME`
    /// together with whether it has its own user namespace.
    ///
    /// Host modes of the namespaces that a user namespace would own turn the user namespace off: without that, even
    /// the container's root would have no rights over them (user_namespaces(7)).
    ///
    /// # Errors
    /// Whatever `leader` refuses.
    pub fn of<E>(record: &Record, leader: impl Fn(&str) -> Result<(u32, bool), E>) -> Result<Self, E> {
        let host = &record.host;
        let mut partner = None;
        let mut resolve = |mode: Option<&str>| -> Result<Joined, E> {
            Ok(match mode {
                Some("host") => Joined::Host,
                Some(mode) => match mode.strip_prefix("container:") {
                    Some(name) => {
                        let (pid, own_user) = leader(name)?;
                        partner.get_or_insert((pid, own_user));
                        Joined::Of(pid)
                    }
                    None => Joined::New,
                },
                None => Joined::New,
            })
        };
        let network = resolve(Some(record.network_mode()))?;
        let pid = resolve(host.pid_mode.as_deref())?;
        let ipc = resolve(host.ipc_mode.as_deref())?;
        let uts = match host.uts_mode.as_deref() {
            Some("host") => Joined::Host,
            _ if network == Joined::Host => Joined::New,
            _ => Joined::New,
        };
        let shares_host = [&network, &pid, &ipc, &uts].into_iter().any(|one| *one == Joined::Host);
        let user = match partner {
            Some((pid, true)) => Joined::Of(pid),
            Some((_, false)) => Joined::Host,
            None if shares_host || !wants_user(record) => Joined::Host,
            None => Joined::New,
        };
        let cgroup = match host.cgroupns_mode.map(|mode| mode.to_string()).as_deref() {
            Some("host") => Joined::Host,
            _ => Joined::New,
        };
        let time = if super::wants_time(record) { Joined::New } else { Joined::Host };
        Ok(Self { user, network, pid, ipc, uts, cgroup, time })
    }

    /// The `namespaces` list of the specification.
    pub fn to_json(&self) -> Value {
        let mut list = vec![json!({"type": "mount"})];
        for (typ, file, joined) in [
            ("user", "user", &self.user),
            ("network", "net", &self.network),
            ("pid", "pid", &self.pid),
            ("ipc", "ipc", &self.ipc),
            ("uts", "uts", &self.uts),
            ("cgroup", "cgroup", &self.cgroup),
            ("time", "time", &self.time),
        ] {
            match joined {
                Joined::New => list.push(json!({"type": typ})),
                Joined::Of(pid) => list.push(json!({"type": typ, "path": format!("/proc/{pid}/ns/{file}")})),
                Joined::Host => {}
            }
        }
        Value::Array(list)
    }
}

fn wants_user(record: &Record) -> bool {
    record.host.userns_mode.as_deref() != Some("host") && !record.host.privileged.unwrap_or(false)
}

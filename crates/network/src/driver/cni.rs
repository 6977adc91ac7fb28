//! CNI: the plugins of Kubernetes and Podman wire the container (Container Network Interface, specification 1.1.0).
//!
//! A network is a *list*: a JSON file (`.conflist`) whose plugins are programs, run one after the other. Each gets its own
//! part of the list on standard input, the outcome of those before it as `prevResult`, and who it is about in its
//! environment; it answers on standard output. When the container leaves they run in reverse with the final outcome.
//! Running them is what the user asked for by naming the driver: the engine's own networks run no programs.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::IpAddr,
    os::fd::{AsRawFd as _, BorrowedFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use super::{Given, NetworkDriver, Sweep};
use crate::{
    Error, Result,
    record::{EndpointRecord, NetworkRecord, mac_text, parse_mac},
};

/// Option that names the list.
const LIST: &str = "conflist";
/// Option that names the folders with plugins, separated by colons.
const PATH: &str = "cni_path";
/// Where Kubernetes and Debian put them.
const FOLDERS: &str = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni";
/// The longest list and the longest answer, in bytes.
const LONGEST: u64 = 1 << 20;
/// A plugin that takes longer is killed.
const PATIENCE: Duration = Duration::from_secs(30);
const VERSIONS: &[&str] = &["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The driver of `cni`.
#[derive(Debug, Clone, Copy)]
pub struct Cni;

/// Checks the options of a new network: the list can be read and its plugins are there. Returns the list's path.
///
/// # Errors
/// [`Error::Invalid`] by option.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<String> {
    let path = options.get(LIST).filter(|path| path.starts_with('/')).ok_or_else(|| {
        invalid(
            "a network of driver cni needs the absolute path of its list: --opt conflist=/etc/cni/net.d/NAME.conflist",
        )
    })?;
    let list = List::read(path, options.get(PATH).map_or(FOLDERS, String::as_str))?;
    list.plugins.iter().try_for_each(|plugin| list.find(plugin).map(drop))?;
    Ok(path.clone())
}

/// Whether the list at `path` has a plugin that publishes ports.
pub(crate) fn publishes(network: &NetworkRecord) -> bool {
    let folders = network.options.get(PATH).map_or(FOLDERS, String::as_str);
    List::read(&network.bridge, folders)
        .is_ok_and(|list| list.plugins.iter().any(|plugin| capable(plugin, "portMappings")))
}

fn invalid(why: &str) -> Error {
    Error::Invalid { field: LIST, why: why.to_owned() }
}

fn capable(plugin: &Value, capability: &str) -> bool {
    plugin["capabilities"][capability] == Value::Bool(true)
}

struct List {
    name: String,
    version: String,
    plugins: Vec<Value>,
    folders: String,
}

impl List {
    fn read(path: &str, folders: &str) -> Result<Self> {
        let mut text = String::new();
        let read = fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
        read.map_err(|error| invalid(&format!("cannot read {path}: {error}")))?;
        Self::parse(&text, folders).map_err(|why| invalid(&format!("{path}: {why}")))
    }

    fn parse(text: &str, folders: &str) -> std::result::Result<Self, String> {
        let list: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let field = |key: &str| list[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let name = field("name").ok_or("it has no name")?;
        let version = field("cniVersion").unwrap_or_else(|| "0.4.0".to_owned());
        if !VERSIONS.contains(&version.as_str()) {
            return Err(format!("cniVersion {version} is not known (known: {})", VERSIONS.join(", ")));
        }
        // A configuration of one plugin is a list of one.
        let plugins = match list["plugins"].as_array() {
            Some(plugins) => plugins.clone(),
            None if list["type"].is_string() => vec![list.clone()],
            None => return Err("it has no plugins".to_owned()),
        };
        let named = |plugin: &Value| {
            let kind = plugin["type"].as_str().unwrap_or_default();
            // The type is a file's name in the folders, never a path out of them.
            !kind.is_empty() && !kind.contains('/') && kind != "." && kind != ".."
        };
        if plugins.is_empty() || plugins.len() > 64 || !plugins.iter().all(named) {
            return Err("each of its plugins (1 to 64) must have a type".to_owned());
        }
        Ok(Self { name, version, plugins, folders: folders.to_owned() })
    }

    fn find(&self, plugin: &Value) -> Result<PathBuf> {
        let kind = plugin["type"].as_str().unwrap_or_default();
        let mut places = self.folders.split(':').filter(|folder| !folder.is_empty());
        let found = places.find_map(|folder| Some(Path::new(folder).join(kind)).filter(|path| path.is_file()));
        found.ok_or_else(|| invalid(&format!("there is no plugin {kind} in {}", self.folders)))
    }

    /// Runs one plugin; its answer, or null for none.
    fn run(&self, act: &'static str, plugin: &Value, call: &Call, previous: &Value) -> Result<Value> {
        let program = self.find(plugin)?;
        let input = self.input(plugin, call, previous).to_string();
        let failed = |why: String| {
            let plugin = plugin["type"].as_str().unwrap_or_default().to_owned();
            Error::Plugin { plugin, act, why }
        };
        let mut command = Command::new(&program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("CNI_COMMAND", act);
        command.env("CNI_CONTAINERID", &call.container).env("CNI_NETNS", &call.namespace);
        command.env("CNI_IFNAME", &call.ifname).env("CNI_PATH", &self.folders);
        command.env("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAME={}", call.name));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (ok, output, errors) = finish(command, input).map_err(|error| failed(error.to_string()))?;
        let answer: Value = serde_json::from_str(output.trim()).unwrap_or(Value::Null);
        if ok {
            return Ok(answer);
        }
        let said = |key: &str| answer[key].as_str().unwrap_or_default();
        let own = [said("msg"), said("details")].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        Err(failed(if own.is_empty() { errors.trim().chars().take(500).collect() } else { own.join(": ") }))
    }

    /// The plugin's part of the list, with what is known of this container.
    fn input(&self, plugin: &Value, call: &Call, previous: &Value) -> Value {
        let mut input = plugin.as_object().cloned().unwrap_or_default();
        input.insert("cniVersion".to_owned(), json!(self.version));
        input.insert("name".to_owned(), json!(self.name));
        if !previous.is_null() {
            input.insert("prevResult".to_owned(), previous.clone());
        }
        let mut runtime = Map::new();
        for (capability, value) in [("portMappings", &call.ports), ("mac", &call.mac), ("ips", &call.addresses)] {
            if capable(plugin, capability) && !value.is_null() {
                runtime.insert(capability.to_owned(), value.clone());
            }
        }
        if !runtime.is_empty() {
            input.insert("runtimeConfig".to_owned(), Value::Object(runtime));
        }
        Value::Object(input)
    }

    fn delete(&self, call: &Call, outcome: &Value) -> Result<()> {
        let mut all = Ok(());
        for plugin in self.plugins.iter().rev() {
            all = all.and(self.run("DEL", plugin, call, outcome).map(drop));
        }
        all
    }
}

/// Feeds a program, and waits for it no longer than it may take: whether it succeeded, its output, its errors.
fn finish(mut command: Command, input: String) -> std::io::Result<(bool, String, String)> {
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    let feeder = std::thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
    let collect = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before a failure is still worth showing.
            let _ = pipe.map(|pipe| pipe.take(LONGEST).read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let output = collect(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let errors = collect(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            let text = format!("it did not end within {} s and was killed", PATIENCE.as_secs());
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    // A plugin that does not read its input broke the pipe; its own answer says what that means.
    drop(feeder.join());
    Ok((status.success(), output.join().unwrap_or_default(), errors.join().unwrap_or_default()))
}

/// Who a call is about.
struct Call {
    container: String,
    name: String,
    namespace: String,
    ifname: String,
    ports: Value,
    mac: Value,
    addresses: Value,
}

impl Call {
    fn new(endpoint: &EndpointRecord, namespace: Option<BorrowedFd<'_>>) -> Self {
        let mapping = |port: &crate::PublishedPort| {
            let host_ip = if port.host_ip.is_unspecified() { String::new() } else { port.host_ip.to_string() };
            json!({"hostPort": port.host_port, "containerPort": port.container_port,
                   "protocol": port.protocol.name(), "hostIP": host_ip})
        };
        let ports: Vec<Value> = endpoint.ports.iter().map(mapping).collect();
        let wanted = [endpoint.ipv4.map(IpAddr::from), endpoint.ipv6.map(IpAddr::from)];
        let addresses: Vec<String> = wanted.into_iter().flatten().map(|address| address.to_string()).collect();
        Self {
            container: endpoint.container_id.clone(),
            name: endpoint.container_name.clone(),
            // The plugin opens the daemon's own descriptor: a process id could be somebody else's by then.
            namespace: namespace
                .map(|fd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
                .unwrap_or_default(),
            ifname: endpoint.ifname.clone(),
            ports: if ports.is_empty() { Value::Null } else { Value::Array(ports) },
            mac: if endpoint.mac == [0; 6] { Value::Null } else { json!(mac_text(endpoint.mac)) },
            addresses: if addresses.is_empty() { Value::Null } else { json!(addresses) },
        }
    }
}

fn list_of(network: &NetworkRecord) -> Result<List> {
    List::read(&network.bridge, network.options.get(PATH).map_or(FOLDERS, String::as_str))
}

fn outcome_of(endpoint: &EndpointRecord) -> Value {
    let kept = endpoint.given.as_ref().and_then(|given| serde_json::from_str(&given.state).ok());
    kept.unwrap_or(Value::Null)
}

impl NetworkDriver for Cni {
    fn name(&self) -> &'static str {
        "cni"
    }

    fn exists(&self, _: &NetworkRecord) -> Result<bool> {
        Ok(false)
    }

    fn ensure(&self, _: &NetworkRecord) -> Result<()> {
        Ok(())
    }

    fn remove(&self, _: &NetworkRecord) -> Result<()> {
        Ok(())
    }

    fn join(
        &self,
        network: &NetworkRecord,
        endpoint: &EndpointRecord,
        namespace: BorrowedFd<'_>,
    ) -> Result<Option<Given>> {
        super::Null::NONE.join(network, endpoint, namespace)?;
        let list = list_of(network)?;
        let call = Call::new(endpoint, Some(namespace));
        let mut outcome = Value::Null;
        for plugin in &list.plugins {
            outcome = list.run("ADD", plugin, &call, &outcome).inspect_err(|_| {
                // Those that ran already, and the one that failed half-way, take back what they did.
                if let Err(error) = list.delete(&call, &Value::Null) {
                    tracing::warn!(%error, "a CNI plugin did not take back what it did");
                }
            })?;
        }
        Ok(Some(given(&outcome)))
    }

    fn unplug(&self, network: &NetworkRecord, endpoint: &EndpointRecord, namespace: BorrowedFd<'_>) -> Result<()> {
        list_of(network)?.delete(&Call::new(endpoint, Some(namespace)), &outcome_of(endpoint))
    }

    fn leave(&self, network: &NetworkRecord, endpoint: &EndpointRecord) -> Result<()> {
        list_of(network)?.delete(&Call::new(endpoint, None), &outcome_of(endpoint))
    }

    fn sweep(&self, _: &NetworkRecord, _: &[EndpointRecord]) -> Result<Sweep> {
        Ok(Sweep::default())
    }
}

/// Reads the final outcome (`ips`, `interfaces`).
fn given(outcome: &Value) -> Given {
    let mut given = Given { state: outcome.to_string(), ..Given::default() };
    for ip in outcome["ips"].as_array().into_iter().flatten().take(64) {
        let Some((address, prefix)) = ip["address"].as_str().and_then(|text| text.split_once('/')) else { continue };
        let Ok(prefix) = prefix.parse::<u8>() else { continue };
        let gateway = ip["gateway"].as_str().unwrap_or_default();
        match address.parse() {
            Ok(IpAddr::V4(address)) if given.ipv4.is_none() && prefix <= 32 => {
                (given.ipv4, given.gateway) = (Some((address, prefix)), gateway.parse().ok());
            }
            Ok(IpAddr::V6(address)) if given.ipv6.is_none() && prefix <= 128 => {
                (given.ipv6, given.gateway6) = (Some((address, prefix)), gateway.parse().ok());
            }
            _ => {}
        }
    }
    let mut inside = outcome["interfaces"].as_array().into_iter().flatten();
    let in_sandbox = inside.find(|link| link["sandbox"].as_str().is_some_and(|sandbox| !sandbox.is_empty()));
    given.mac = in_sandbox.and_then(|link| parse_mac(link["mac"].as_str()?));
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_bad_ones_refused() {
        let list = List::parse(r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]}"#, "/x").unwrap();
        assert_eq!((list.name.as_str(), list.plugins.len()), ("n", 1));
        assert_eq!(List::parse(r#"{"name":"n","type":"ptp"}"#, "").unwrap().plugins.len(), 1);
        for bad in [
            "",
            "[]",
            r#"{"name":"n"}"#,
            r#"{"name":"","plugins":[{"type":"a"}]}"#,
            r#"{"name":"n","plugins":[]}"#,
            r#"{"name":"n","plugins":[{"type":"../a"}]}"#,
            r#"{"name":"n","plugins":[{"type":".."}]}"#,
            r#"{"name":"n","plugins":[{}]}"#,
            r#"{"name":"n","cniVersion":"9","plugins":[{"type":"a"}]}"#,
        ] {
            assert!(List::parse(bad, "").is_err(), "{bad}");
        }
    }

    #[test]
    fn outcomes_are_read_as_far_as_they_make_sense() {
        let outcome = json!({"ips": [{"address": "x"}, {"address": "10.1.2.3/99"}, {"address": "10.1.2.3/24", "gateway":
            "10.1.2.1"}, {"address": "fd00::3/64"}], "interfaces": [{"mac": "02:00:00:00:00:01"}, {"mac":
            "02:00:00:00:00:02", "sandbox": "/proc/1/fd/3"}]});
        let given = given(&outcome);
        assert_eq!(given.ipv4, Some(("10.1.2.3".parse().unwrap(), 24)));
        assert_eq!(given.gateway, Some("10.1.2.1".parse().unwrap()));
        assert_eq!(given.ipv6, Some(("fd00::3".parse().unwrap(), 64)));
        assert_eq!(given.mac, Some([2, 0, 0, 0, 0, 2]));
        assert_eq!(super::given(&Value::Null).ipv4, None);
    }

    #[test]
    fn capabilities_are_given_to_those_who_ask() {
        let list = List::parse(
            r#"{"name":"n","plugins":[{"type":"bridge"},{"type":"portmap","capabilities":{"portMappings":true}}]}"#,
            "",
        )
        .unwrap();
        let call = Call {
            container: "c".into(),
            name: "c".into(),
            namespace: String::new(),
            ifname: "eth0".into(),
            ports: json!([1]),
            mac: Value::Null,
            addresses: Value::Null,
        };
        assert!(list.input(&list.plugins[0], &call, &Value::Null)["runtimeConfig"].is_null());
        let second = list.input(&list.plugins[1], &call, &json!({"ips": []}));
        assert_eq!(second["runtimeConfig"]["portMappings"], json!([1]));
        assert_eq!(second["prevResult"], json!({"ips": []}));
    }
}

//! A stage between two instructions: the image's configuration so far, the layers below, the variables.

use std::collections::BTreeMap;

use berth_dockerfile::{Form, Healthcheck, Scope};
use berth_spec::{
    Digest, Platform,
    image::{History, ImageConfig, RootFs},
    model::HealthConfig,
};
use serde_json::json;

use crate::{cache::LayerRef, exchange::Walked, layer::chain, tree};

/// The usual words in front of shell forms.
const SHELL: &[&str] = &["/bin/sh", "-c"];
/// What `PATH` is in a stage that starts from nothing.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stage between two instructions.
#[derive(Clone)]
pub(crate) struct State {
    pub config: ImageConfig,
    /// The topmost layer.
    pub top: Option<Digest>,
    /// Key of the last step that made a layer.
    pub key: Option<String>,
    /// The steps that led here, those of the stages below included.
    pub lineage: Vec<Walked>,
    /// Variables.
    pub scope: Scope,
    /// RFC 3339 time of the newest layer: what only changes words is as old as the files below.
    pub stamp: String,
    /// `CMD` was given in this stage: an `ENTRYPOINT` leaves it then.
    pub has_cmd: bool,
    /// Who made it.
    pub author: Option<String>,
}

impl State {
    /// A stage that starts from nothing; its variables are those of `scope`.
    pub fn blank(scope: Scope, platform: &Platform, stamp: String) -> Self {
        let config = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            rootfs: RootFs { typ: "layers".to_owned(), diff_ids: Vec::new() },
            ..ImageConfig::default()
        };
        let mut state =
            Self { config, top: None, key: None, lineage: Vec::new(), scope, stamp, has_cmd: false, author: None };
        state.set_env();
        state
    }

    /// A stage that starts from an image.
    pub fn of_image(scope: Scope, mut config: ImageConfig, top: Option<Digest>, stamp: String) -> Self {
        for key in ["container", "container_config", "id", "parent"] {
            config.rest.remove(key);
        }
        let author = config.author.clone();
        Self { config, top, key: None, lineage: Vec::new(), scope, stamp, has_cmd: false, author }
    }

    pub fn shell(&self) -> Vec<String> {
        match &self.config.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => SHELL.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    pub fn workdir(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            "" => "/",
            path => path,
        }
    }

    /// Notes an instruction that changed words alone.
    pub fn note(&mut self, text: String) {
        self.push_history(text, true);
    }

    /// Puts a layer on top.
    pub fn add_layer(&mut self, layer: Option<&LayerRef>, stamp: String, text: String) {
        self.stamp = stamp;
        if let Some(layer) = layer {
            self.config.rootfs.diff_ids.push(layer.diff_id.clone());
            self.top = Some(chain(self.top.as_ref(), &layer.diff_id));
        }
        self.push_history(text, layer.is_none());
    }

    fn push_history(&mut self, text: String, empty_layer: bool) {
        self.config.history.push(History {
            created: Some(self.stamp.clone()),
            created_by: Some(text),
            author: self.author.clone(),
            comment: Some("berth.build".to_owned()),
            empty_layer,
        });
    }

    pub fn set_env(&mut self) {
        let env = self.scope.env().iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.config.config.env = Some(env);
    }

    pub fn set_labels(&mut self, pairs: impl IntoIterator<Item = (String, String)>) {
        self.config.config.labels.get_or_insert_with(BTreeMap::new).extend(pairs);
    }

    pub fn set_cmd(&mut self, form: &Form) {
        self.config.config.cmd = Some(form.argv(&self.shell()));
        self.has_cmd = true;
    }

    pub fn set_entrypoint(&mut self, form: &Form) {
        self.config.config.entrypoint = match form {
            Form::Exec(words) if words.is_empty() => None,
            form => Some(form.argv(&self.shell())),
        };
        if !self.has_cmd {
            self.config.config.cmd = None;
        }
    }

    /// `80`, `80/udp`, `80-82/tcp`.
    pub fn expose(&mut self, word: &str) -> Result<(), String> {
        let wrong = || format!("invalid containerPort: {word}");
        let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
            return Err(format!("invalid proto: {protocol}"));
        }
        // A part of the host in front means nothing here.
        let ports = ports.rsplit(':').next().unwrap_or(ports);
        let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
        let (from, to): (u16, u16) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
        if from == 0 || from > to {
            return Err(wrong());
        }
        let exposed = self.config.config.exposed_ports.get_or_insert_with(BTreeMap::new);
        exposed.extend((from..=to).map(|port| (format!("{port}/{protocol}"), json!({}))));
        Ok(())
    }

    pub fn add_volumes(&mut self, paths: impl IntoIterator<Item = String>) {
        let volumes = self.config.config.volumes.get_or_insert_with(BTreeMap::new);
        volumes.extend(paths.into_iter().map(|path| (path, json!({}))));
    }

    pub fn set_health(&mut self, health: &Healthcheck) {
        let shell = self.shell();
        self.config.config.healthcheck = Some(match health {
            Healthcheck::None => HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() },
            Healthcheck::Probe(probe) => {
                let test = match &probe.test {
                    Form::Exec(words) => std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect(),
                    Form::Shell(line) if shell == SHELL => vec!["CMD-SHELL".to_owned(), line.clone()],
                    form => std::iter::once("CMD".to_owned()).chain(form.argv(&shell)).collect(),
                };
                HealthConfig {
                    test: Some(test),
                    interval: probe.interval_ns,
                    timeout: probe.timeout_ns,
                    start_period: probe.start_period_ns,
                    start_interval: probe.start_interval_ns,
                    retries: probe.retries,
                }
            }
        });
    }

    /// `WORKDIR`: relative to the one before.
    pub fn set_workdir(&mut self, path: &str) {
        self.config.config.working_dir = tree::join(self.workdir(), path);
    }

    /// What a command sees: arguments first, as the environment wins.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut all = self.scope.proxies();
        all.extend(self.scope.arguments());
        let env = self.scope.env();
        all.retain(|(name, _)| !env.iter().any(|(known, _)| known == name));
        all.extend(env.iter().cloned());
        if !all.iter().any(|(name, _)| name == "PATH") {
            all.insert(0, ("PATH".to_owned(), PATH.to_owned()));
        }
        all
    }
}

/// `KEY=value` pairs as the history shows them.
pub(crate) fn shown_pairs(keyword: &str, pairs: &[(String, String)]) -> String {
    let words: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{keyword} {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use berth_dockerfile::scope::{Globals, Platforms};

    use super::*;

    fn state() -> State {
        let file = berth_dockerfile::parse("FROM scratch\n").expect("a Dockerfile");
        let platforms = Platforms { build: Platform::host(), target: Platform::host() };
        let globals = Globals::new(&file, &BTreeMap::new(), &platforms, "").expect("globals");
        State::blank(Scope::stage(&globals, &[]), &Platform::host(), String::new())
    }

    #[test]
    fn an_entrypoint_forgets_the_images_command_alone() {
        let mut state = state();
        state.config.config.cmd = Some(vec!["old".into()]);
        state.set_entrypoint(&Form::Shell("run".into()));
        assert_eq!(state.config.config.cmd, None);
        assert_eq!(state.config.config.entrypoint.as_deref().map(<[String]>::len), Some(3));
        state.set_cmd(&Form::Exec(vec!["own".into()]));
        state.set_entrypoint(&Form::Exec(vec!["x".into()]));
        assert_eq!(state.config.config.cmd.as_deref(), Some(&["own".to_owned()][..]));
    }

    #[test]
    fn ports_are_ranges_with_protocols() {
        let mut state = state();
        state.expose("80-82/UDP").expect("a range");
        state.expose("443").expect("a port");
        let ports: Vec<_> = state.config.config.exposed_ports.iter().flatten().map(|(port, _)| port.clone()).collect();
        assert_eq!(ports, ["443/tcp", "80/udp", "81/udp", "82/udp"]);
        for bad in ["0", "x", "9-8", "80/icmp", "70000"] {
            assert!(state.expose(bad).is_err(), "{bad}");
        }
    }
}

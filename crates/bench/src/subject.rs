//! What is measured: an engine together with the client that speaks to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_blackbox::command::is_installed;
use berth_blackbox::{Engine, Kind};

/// The engines of one run; each has the image `busybox`.
#[derive(Debug)]
pub struct Subjects {
    pub berth: Engine,
    pub docker: Option<Engine>,
    pub berth_client: PathBuf,
    pub has_docker_client: bool,
}

impl Subjects {
    /// Starts berth, and dockerd where it is installed and wanted.
    pub fn start(binary: &Path, alone: bool) -> Result<Subjects> {
        let binary = binary.canonicalize().with_context(|| format!("{}: make build", binary.display()))?;
        let engine = |kind, program| {
            let mut engine = Engine::launch(kind, program, &[]);
            engine.import_busybox();
            engine
        };
        let docker = (!alone && is_installed("dockerd")).then(|| engine(Kind::Docker, "dockerd".into()));
        let berth = engine(Kind::Berth, binary.clone());
        Ok(Subjects { berth, docker, berth_client: binary, has_docker_client: is_installed("docker") })
    }

    /// (label, engine, client) of every pair that exists here, berth with its own client first.
    pub fn pairs(&self) -> Vec<(&'static str, &Engine, &Path)> {
        let mut pairs: Vec<(&'static str, &Engine, &Path)> = vec![(OWN, &self.berth, &self.berth_client)];
        if self.has_docker_client {
            pairs.push((FOREIGN, &self.berth, Path::new("docker")));
            if let Some(docker) = &self.docker {
                pairs.push((DOCKER, docker, Path::new("docker")));
            }
        }
        pairs
    }

    /// (label, engine) of every engine.
    pub fn engines(&self) -> Vec<(&'static str, &Engine)> {
        [("berth", Some(&self.berth)), ("dockerd", self.docker.as_ref())]
            .into_iter()
            .filter_map(|(label, engine)| engine.map(|engine| (label, engine)))
            .collect()
    }
}

pub const OWN: &str = "berth, own client";
pub const FOREIGN: &str = "berth, docker client";
pub const DOCKER: &str = "dockerd, docker client";

/// Runs a client command to its end and gives its wall time.
pub fn time(engine: &Engine, client: &Path, arguments: &[&str]) -> Result<Duration> {
    let mut command: Command = engine.client(client, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin = Instant::now();
    let output = command.output().with_context(|| format!("{}", client.display()))?;
    let took = begin.elapsed();
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

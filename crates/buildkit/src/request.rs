//! What a solve asks for, in this engine's words. An option that is not known is refused by its name.

use std::collections::BTreeMap;

use berth_spec::platform::Platform;

use crate::grpc::{Code, Status};
use crate::proto::control::Exporter;

/// Options of the Dockerfile frontend.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// The Dockerfile's path in its folder.
    pub filename: String,
    /// The stage to make; the last when none.
    pub target: Option<String>,
    /// Where the files of the build come from.
    pub context: Source,
    /// Where the Dockerfile comes from; the context when none.
    pub dockerfile: Option<Source>,
    /// `--build-context`: name to place.
    pub contexts: BTreeMap<String, String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--platform`; the host's when empty.
    pub platforms: Vec<Platform>,
    /// The result is an index even of one platform.
    pub multi_platform: bool,
    /// `--no-cache`.
    pub no_cache: NoCache,
    /// `--pull`.
    pub pull: bool,
    /// `--add-host`: name and address.
    pub add_hosts: Vec<(String, String)>,
    /// `--network`: `default`, `none` or `host`.
    pub network: Option<String>,
    /// `--shm-size`, in bytes.
    pub shm_size_bytes: Option<u64>,
    /// `--ulimit`, each `name=soft:hard`.
    pub ulimits: Vec<String>,
    /// `--cgroup-parent`.
    pub cgroup_parent: Option<String>,
    /// The steps' host name.
    pub hostname: Option<String>,
    /// `--attest`: kind to its options.
    pub attestations: BTreeMap<String, String>,
    /// What the client knows about the source: `vcs:source`, `vcs:revision`, …
    pub vcs: BTreeMap<String, String>,
    /// Sessions that hold a context of their own, by the context's name.
    pub sessions: BTreeMap<String, String>,
    /// A question instead of a build: `frontend.lint` and its kin.
    pub question: Option<String>,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder of the client, by its name in the session.
    Local(String),
    /// Bytes of the client, by their path in the session: a tar or a Dockerfile from its standard input.
    Upload(String),
    /// A repository or an address, by its URL.
    Remote(String),
}

impl Default for Source {
    fn default() -> Self {
        Self::Local("context".to_owned())
    }
}

/// What does not come from the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// Everything may.
    #[default]
    Nothing,
    /// Nothing may.
    All,
    /// Nothing of these stages.
    Stages(Vec<String>),
}

/// What the result becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its number among the exporters of the solve: the client finds its file or folder by it.
    pub index: usize,
    /// What is made.
    pub kind: ExportKind,
    /// Its options, as given.
    pub attrs: BTreeMap<String, String>,
}

/// What an exporter makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// An image of the engine: `moby`, `image`.
    Image,
    /// The files, into a folder of the client.
    Local,
    /// The files, as a tar to the client.
    Tar,
    /// An OCI layout, as a tar to the client.
    Oci,
    /// What `docker load` reads, to the client.
    Docker,
}

/// Where a cache lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// `registry`, `local`, `inline`.
    pub kind: String,
    /// Its options, as given.
    pub attrs: BTreeMap<String, String>,
}

/// Where a client's standard input seems to be.
const SESSION_HOST: &str = "http://buildkit-session/";
/// Caches that are spoken.
const CACHES: &[&str] = &["registry", "local", "inline"];

impl Options {
    /// Reads the attributes of a `dockerfile.v0` solve.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] naming the option that is not there, or whose value is wrong.
    pub fn parse(attrs: &BTreeMap<String, String>) -> Result<Self, Status> {
        let mut options = Self { filename: "Dockerfile".to_owned(), ..Self::default() };
        let key = |name: &str| attrs.get(name).map_or_else(|| name.trim_end_matches("key").to_owned(), Clone::clone);
        options.context = source(attrs.get("context"), &key("contextkey"));
        // A context of its own kind brings its Dockerfile, unless the client has that apart.
        let apart = attrs.contains_key("dockerfilekey") || matches!(options.context, Source::Local(_));
        options.dockerfile = apart.then(|| Source::Local(key("dockerfilekey")));
        for (name, value) in attrs {
            options.set(name, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Status> {
        if let Some((prefix, rest)) = name.split_once(':') {
            let map = match prefix {
                "build-arg" => &mut self.build_args,
                "label" => &mut self.labels,
                "context" => &mut self.contexts,
                "attest" => &mut self.attestations,
                "vcs" => &mut self.vcs,
                "local-sessionid" => &mut self.sessions,
                _ => return Err(unknown(name)),
            };
            map.insert(rest.to_owned(), value.to_owned());
            return Ok(());
        }
        let given = || (!value.is_empty()).then(|| value.to_owned());
        match name {
            "filename" => self.filename = given().unwrap_or_else(|| "Dockerfile".to_owned()),
            "target" => self.target = given(),
            "platform" => self.platforms = platforms(value)?,
            "multi-platform" => self.multi_platform = boolean(name, value)?,
            "no-cache" if value.is_empty() => self.no_cache = NoCache::All,
            "no-cache" => self.no_cache = NoCache::Stages(list(value)),
            "image-resolve-mode" => self.pull = value == "pull",
            "add-hosts" => self.add_hosts = hosts(value)?,
            "force-network-mode" => self.network = Some(network(value)?),
            "shm-size" => self.shm_size_bytes = Some(value.parse().map_err(|_| wrong(name, value))?),
            "ulimit" => self.ulimits = list(value),
            "cgroup-parent" => self.cgroup_parent = given(),
            "hostname" => self.hostname = given(),
            "requestid" => self.question = given(),
            // Read already, or of no consequence: what the client can do itself, and the frontend's own image.
            "context" | "contextkey" | "dockerfilekey" | "frontend.caps" | "source" | "cmdline" | "cache-imports"
            | "cache-from" => {}
            _ => return Err(unknown(name)),
        }
        Ok(())
    }
}

fn source(context: Option<&String>, key: &str) -> Source {
    match context.map(String::as_str).filter(|context| !context.is_empty()) {
        None => Source::Local(key.to_owned()),
        Some(context) => match (context.strip_prefix(SESSION_HOST), context.strip_prefix("local:")) {
            (Some(path), _) => Source::Upload(path.to_owned()),
            (None, Some(name)) => Source::Local(name.to_owned()),
            (None, None) => Source::Remote(context.to_owned()),
        },
    }
}

/// Reads the exporters of a solve.
///
/// # Errors
/// [`Code::InvalidArgument`] naming an exporter that is not there.
pub fn exports(exporters: &[Exporter]) -> Result<Vec<Export>, Status> {
    let read = |(index, exporter): (usize, &Exporter)| {
        let kind = match exporter.kind.as_str() {
            "moby" | "image" => ExportKind::Image,
            "local" => ExportKind::Local,
            "tar" => ExportKind::Tar,
            "oci" => ExportKind::Oci,
            "docker" => ExportKind::Docker,
            other => return Err(Status::invalid(format!("exporter {other:?} is not there"))),
        };
        Ok(Export { index, kind, attrs: exporter.attrs.clone() })
    };
    exporters.iter().enumerate().filter(|(_, exporter)| !exporter.kind.is_empty()).map(read).collect()
}

/// Reads where caches come from or go to.
///
/// # Errors
/// [`Code::InvalidArgument`] naming a kind that is not there.
pub fn caches(entries: &[Exporter]) -> Result<Vec<Cache>, Status> {
    let read = |entry: &Exporter| match CACHES.contains(&entry.kind.as_str()) {
        true => Ok(Cache { kind: entry.kind.clone(), attrs: entry.attrs.clone() }),
        false => {
            Err(Status::invalid(format!("cache type {:?} is not there: use registry, local or inline", entry.kind)))
        }
    };
    entries.iter().map(read).collect()
}

/// Reads `cache-imports` (JSON) and `cache-from` (references) of a frontend's attributes.
///
/// # Errors
/// As [`caches`]; JSON that is none.
pub fn attribute_caches(attrs: &BTreeMap<String, String>) -> Result<Vec<Cache>, Status> {
    let mut entries = Vec::new();
    if let Some(text) = attrs.get("cache-imports").filter(|text| !text.is_empty()) {
        let parsed: Vec<serde_json::Value> =
            serde_json::from_str(text).map_err(|error| Status::invalid(format!("cache-imports: {error}")))?;
        for entry in parsed {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let attrs = entry["Attrs"].as_object().into_iter().flatten();
            let attrs = attrs.map(|(name, value)| (name.clone(), text(value))).collect();
            entries.push(Exporter { kind: text(&entry["Type"]), attrs });
        }
    }
    let references = attrs.get("cache-from").map(|text| list(text)).unwrap_or_default();
    let registry = |reference: String| Exporter {
        kind: "registry".to_owned(),
        attrs: BTreeMap::from([("ref".to_owned(), reference)]),
    };
    entries.extend(references.into_iter().map(registry));
    caches(&entries)
}

/// Whether a frontend is the one that is built in; `source` names the image of a `gateway.v0`.
///
/// # Errors
/// [`Code::Unimplemented`] for all others.
pub fn check_frontend(frontend: &str, attrs: &BTreeMap<String, String>) -> Result<(), Status> {
    match frontend {
        "dockerfile.v0" => Ok(()),
        "gateway.v0" => {
            let source = attrs.get("source").map(String::as_str).unwrap_or_default();
            let short = source.trim_start_matches("docker.io/").split([':', '@']).next().unwrap_or_default();
            match matches!(short, "docker/dockerfile" | "docker/dockerfile-upstream") {
                true => Ok(()),
                false => Err(Status::new(
                    Code::Unimplemented,
                    format!(
                        "frontend {source:?} is not there: this builder reads Dockerfiles itself and runs no frontend images"
                    ),
                )),
            }
        }
        other => Err(Status::new(Code::Unimplemented, format!("frontend {other:?} is not there: use dockerfile.v0"))),
    }
}

fn platforms(value: &str) -> Result<Vec<Platform>, Status> {
    list(value).iter().map(|text| Platform::parse(text).map_err(|error| Status::invalid(error.to_string()))).collect()
}

fn hosts(value: &str) -> Result<Vec<(String, String)>, Status> {
    let pair = |entry: String| match entry.split_once('=') {
        Some((name, address)) => Ok((name.to_owned(), address.trim_matches(['[', ']']).to_owned())),
        None => Err(Status::invalid(format!("invalid host {entry:?} in add-hosts"))),
    };
    list(value).into_iter().map(pair).collect()
}

fn network(value: &str) -> Result<String, Status> {
    match value {
        "" | "default" | "sandbox" => Ok("default".to_owned()),
        "none" | "host" => Ok(value.to_owned()),
        other => Err(Status::invalid(format!("network mode {other:?} is not there: use default, none or host"))),
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

fn boolean(name: &str, value: &str) -> Result<bool, Status> {
    match value {
        "1" | "t" | "true" | "True" | "TRUE" => Ok(true),
        "" | "0" | "f" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(wrong(name, value)),
    }
}

fn wrong(name: &str, value: &str) -> Status {
    Status::invalid(format!("invalid value {value:?} for option {name}"))
}

fn unknown(name: &str) -> Status {
    Status::invalid(format!("option {name:?} is not there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attrs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_of_buildx_are_read() {
        let options = Options::parse(&attrs(&[
            ("filename", "docker/Dockerfile"),
            ("target", "two"),
            ("build-arg:A", "b:c"),
            ("label:x", "y"),
            ("platform", "linux/amd64,linux/arm64"),
            ("no-cache", "one,two"),
            ("add-hosts", "a=1.2.3.4,b=[::1]"),
            ("force-network-mode", "none"),
            ("shm-size", "64"),
            ("context:base", "docker-image://x"),
            ("image-resolve-mode", "pull"),
            ("vcs:revision", "abc"),
            ("frontend.caps", "moby.buildkit.frontend.contexts+forward"),
        ]))
        .expect("all are known");
        assert_eq!(options.context, Source::Local("context".into()));
        assert_eq!(options.dockerfile, Some(Source::Local("dockerfile".into())));
        assert_eq!(options.platforms.len(), 2);
        assert_eq!(options.no_cache, NoCache::Stages(vec!["one".into(), "two".into()]));
        assert_eq!(options.add_hosts[1], ("b".to_owned(), "::1".to_owned()));
        assert_eq!(options.build_args["A"], "b:c");
        assert!(options.pull);
    }

    #[test]
    fn contexts_come_from_several_places() {
        let context = |value| Options::parse(&attrs(&[("context", value)])).expect("known");
        assert_eq!(context("http://buildkit-session/abc").context, Source::Upload("abc".into()));
        assert_eq!(context("https://git.test/x.git#v1").context, Source::Remote("https://git.test/x.git#v1".into()));
        assert_eq!(context("https://git.test/x.git").dockerfile, None);
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        let refused = |name| Options::parse(&attrs(&[(name, "1")])).expect_err(name).message;
        assert_eq!(refused("memory"), "option \"memory\" is not there");
        assert_eq!(refused("input:context"), "option \"input:context\" is not there");
        assert!(refused("force-network-mode").contains("\"1\""));
        let exporter = |kind: &str| exports(&[Exporter { kind: kind.into(), attrs: BTreeMap::new() }]);
        assert!(exporter("containerimage").expect_err("not there").message.contains("containerimage"));
        assert!(
            caches(&[Exporter { kind: "gha".into(), attrs: BTreeMap::new() }])
                .expect_err("not there")
                .message
                .contains("gha")
        );
        assert!(check_frontend("gateway.v0", &attrs(&[("source", "evil/frontend")])).is_err());
        assert!(check_frontend("gateway.v0", &attrs(&[("source", "docker/dockerfile:1.7-labs")])).is_ok());
        assert!(check_frontend("", &attrs(&[])).is_err());
    }

    #[test]
    fn caches_are_read_from_json_and_references() {
        let attrs = attrs(&[("cache-imports", r#"[{"Type":"local","Attrs":{"src":"x"}}]"#), ("cache-from", "a,b")]);
        let found = attribute_caches(&attrs).expect("known");
        assert_eq!(
            found.iter().map(|cache| cache.kind.as_str()).collect::<Vec<_>>(),
            ["local", "registry", "registry"]
        );
        assert_eq!(found[2].attrs["ref"], "b");
    }
}

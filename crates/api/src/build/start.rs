//! `POST /build`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::to_bytes,
    extract::{Request as HttpRequest, State},
    http::HeaderMap,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_build::{Client, ContextSource, Folder, NoCache, Request, Source};
use berth_remote::Credentials;
use berth_spec::{Platform, Reference, model};
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::{
    answer::{self, Form},
    classic::Classic,
    reader::BodyReader,
};
use crate::{
    Engine, Error, body,
    failure::{Answer, Failure},
    query::Query,
    registry,
};

/// The longest description of a build whose context was sent before, in bytes.
const EXTRA_MAX: usize = 16 << 20;

/// What berth's own client sends beside the query.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Extra {
    /// The Dockerfile, where it is not in the context.
    dockerfile: Option<String>,
    /// Secrets by name, in Base64.
    secrets: BTreeMap<String, String>,
    /// Named contexts: ids of folders that were sent, or `docker-image://name`.
    contexts: BTreeMap<String, String>,
}

/// A folder that is here already.
struct Ready(Folder);

impl ContextSource for Ready {
    fn open(&self) -> BoxFuture<'_, Result<Folder, String>> {
        let folder = self.0.clone();
        Box::pin(async move { Ok(folder) })
    }
}

/// What came with the request.
struct Sent {
    headers: HeaderMap,
    secrets: BTreeMap<String, Vec<u8>>,
}

impl Client for Sent {
    fn credentials<'a>(&'a self, image: &'a Reference) -> BoxFuture<'a, Option<Credentials>> {
        Box::pin(async move { registry::credentials_for(&self.headers, image).ok().flatten() })
    }

    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move { Ok(self.secrets.get(id).cloned()) })
    }

    fn has_ssh<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async { false })
    }

    fn ssh(&self, id: String, _: tokio::net::UnixStream) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async move { Err(format!("no SSH agent {id}")) })
    }
}

pub async fn build(State(engine): State<Arc<Engine>>, query: Query, request: HttpRequest) -> Answer {
    if let Some(address) = query.get("remote") {
        let text = format!("cannot build from {address}: send its files as the context");
        return Err(Error::Invalid(text).into());
    }
    let (parts, sent) = request.into_parts();
    let name = query.text("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
    let (folder, extra) = match query.get("context") {
        Some(id) => {
            let bytes = to_bytes(sent, EXTRA_MAX).await.map_err(|_| Error::BodyTooLarge(EXTRA_MAX))?;
            let extra = if bytes.is_empty() { Extra::default() } else { body::decode(&bytes)? };
            (engine.builder.contexts().take(id)?, extra)
        }
        None => {
            let reader = BodyReader::new(body::stream(sent));
            let contexts = engine.builder.contexts().clone();
            let work = tokio::task::spawn_blocking(move || contexts.unpack(reader));
            let folder = work.await.map_err(|error| Error::Body(error.to_string()))??;
            (folder, Extra::default())
        }
    };
    let dockerfile = match &extra.dockerfile {
        Some(text) => text.clone().into_bytes(),
        None => folder.read(&name)?,
    };
    let mut wanted = Request::new(dockerfile, Source::Folder(Arc::new(Ready(folder))));
    wanted.dockerfile_name = name;
    fill(&mut wanted, &query)?;
    for (name, place) in extra.contexts {
        let source = match place.strip_prefix("docker-image://") {
            Some(image) => Source::Image(image.to_owned()),
            None => Source::Folder(Arc::new(Ready(engine.builder.contexts().take(&place)?))),
        };
        wanted.contexts.insert(name, source);
    }
    wanted.policy = registry::policy(&engine);
    let mut secrets = BTreeMap::new();
    for (id, text) in extra.secrets {
        let bytes = STANDARD.decode(&text).map_err(|error| Error::Invalid(format!("secret {id}: {error}")))?;
        secrets.insert(id, bytes);
    }
    wanted.client = Arc::new(Sent { headers: parts.headers, secrets });
    let form = match query.flag("events")? {
        true => Form::Events,
        false => Form::Classic(Classic::new(query.flag("q")?)),
    };
    answer::run(engine.builder.clone(), wanted, form).await
}

fn fill(wanted: &mut Request, query: &Query) -> Result<(), Failure> {
    wanted.tags = query.all("t");
    for tag in &wanted.tags {
        Reference::parse(tag).map_err(|_| Error::Invalid(format!("invalid reference format: {tag:?}")))?;
    }
    wanted.args = map(query, "buildargs")?;
    wanted.labels = map(query, "labels")?;
    wanted.target = query.text("target");
    wanted.pull = query.get("pull").is_some_and(|pull| !matches!(pull, "0" | "false"));
    wanted.no_cache = match (query.flag("nocache")?, query.all("nocachefilter")) {
        (true, _) => NoCache::All,
        (false, stages) if stages.is_empty() => NoCache::Nothing,
        (false, stages) => NoCache::Stages(stages),
    };
    if let Some(text) = query.get("cachefrom") {
        wanted.cache_from = body::decode(text.as_bytes())?;
    }
    if let Some(text) = query.get("platform") {
        let parse = |text: &str| Platform::parse(text).map_err(|error| Error::Invalid(error.to_string()));
        wanted.platforms = text.split(',').map(parse).collect::<Result<_, _>>()?;
    }
    wanted.network = query.text("networkmode");
    wanted.add_hosts = query.all("extrahosts").iter().flat_map(|all| all.split(',')).map(str::to_owned).collect();
    wanted.shm_bytes = query.number("shmsize")?.filter(|bytes| *bytes > 0);
    wanted.cgroup_parent = query.text("cgroupparent");
    wanted.memory_bytes = query.number("memory")?.filter(|bytes| *bytes != 0);
    wanted.memory_swap_bytes = query.number("memswap")?.filter(|bytes| *bytes != 0);
    wanted.cpu_shares = query.number("cpushares")?.filter(|shares| *shares != 0);
    wanted.cpu_period_us = query.number("cpuperiod")?.filter(|period| *period != 0);
    wanted.cpu_quota_us = query.number("cpuquota")?.filter(|quota| *quota != 0);
    wanted.cpuset_cpus = query.text("cpusetcpus");
    wanted.cpuset_mems = query.text("cpusetmems");
    wanted.check_only = query.flag("check")?;
    if query.flag("squash")? {
        return Err(Error::Invalid("squash is not part of a build: use `berth image squash`".to_owned()).into());
    }
    wanted.security_options = match query.get("securityopt") {
        Some(text) => body::decode(text.as_bytes())?,
        None => Vec::new(),
    };
    if let Some(text) = query.get("ulimits") {
        let limits: Option<Vec<model::ResourcesUlimits>> = body::decode(text.as_bytes())?;
        wanted.ulimits = limits.unwrap_or_default();
    }
    for right in query.all("allow") {
        match right.as_str() {
            "network.host" => wanted.allowed.host_network = true,
            "security.insecure" => wanted.allowed.insecure = true,
            "device" => wanted.allowed.device = true,
            other => return Err(Error::Invalid(format!("unknown entitlement {other:?}")).into()),
        }
    }
    Ok(())
}

/// A JSON object of texts; a null value stands for a name alone.
fn map(query: &Query, name: &str) -> Result<BTreeMap<String, String>, Failure> {
    let Some(text) = query.get(name) else { return Ok(BTreeMap::new()) };
    let values: Option<BTreeMap<String, Option<String>>> = body::decode(text.as_bytes())?;
    Ok(values.unwrap_or_default().into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

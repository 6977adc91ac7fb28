//! What the flags of a build become in its request.

use std::collections::BTreeMap;
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_client::Request;
use serde_json::{Value, json};

use super::context;
use crate::call::{Call, Failure};

/// The query.
pub fn describe(call: &Call) -> Result<Request, Failure> {
    let flags = &call.flags;
    let mut args = BTreeMap::new();
    for text in flags.list("build-arg") {
        match text.split_once('=') {
            Some((name, value)) => drop(args.insert(name.to_owned(), value.to_owned())),
            // A name alone takes the client's own value.
            None => drop(std::env::var(text).map(|value| args.insert(text.to_owned(), value))),
        }
    }
    let labels = crate::option::label::object(flags.list("label"));
    let number = |name: &str| flags.text(name).to_owned();
    let platforms: Vec<&str> = flags.list("platform").collect();
    let attests = attests(call)?;
    let mut request = Request::post("/build")
        .text("events", "1")
        .each("t", flags.list("tag"))
        .text("target", flags.text("target"))
        .text("buildargs", &json!(args).to_string())
        .text("labels", &Value::Object(labels).to_string())
        .text("networkmode", flags.text("network"))
        .each("extrahosts", flags.list("add-host"))
        .each("allow", flags.list("allow"))
        .text("platform", &platforms.join(","))
        .text("cgroupparent", flags.text("cgroup-parent"))
        .each("nocachefilter", flags.list("no-cache-filter"))
        .each("attest", attests.iter().map(String::as_str))
        .on("nocache", flags.on("no-cache"))
        .on("pull", flags.on("pull"))
        .on("check", flags.on("check"));
    for (flag, name) in [("memory", "memory"), ("shm-size", "shmsize")] {
        let value = number(flag);
        if !value.is_empty() {
            let bytes = berth_kit::size::parse_bytes(&value).map_err(|error| Failure::new(error.to_string()))?;
            request = request.text(name, &bytes.to_string());
        }
    }
    Ok(request)
}

/// `--attest`, `--sbom`, `--provenance`.
fn attests(call: &Call) -> Result<Vec<String>, Failure> {
    let mut all: Vec<String> = call.flags.list("attest").map(str::to_owned).collect();
    for (flag, more) in [("sbom", "type=sbom"), ("provenance", "type=provenance")] {
        match call.flags.text(flag) {
            "" | "false" | "0" => {}
            "true" | "1" => all.push(more.to_owned()),
            fields => all.push(format!("{more},{fields}")),
        }
    }
    Ok(all)
}

/// Whether a place is an address that the engine fetches itself.
pub fn is_remote(place: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    schemes.iter().any(|scheme| place.starts_with(scheme)) && !Path::new(place).is_dir()
}

/// The Dockerfile's text where it is not in the context, or its name there.
pub fn dockerfile(call: &Call, path: &str) -> Result<(Option<String>, Option<String>), Failure> {
    let file = call.flags.text("file");
    let failed = |error: std::io::Error| Failure::new(format!("open {file}: {}", crate::text::os(&error)));
    if file == "-" {
        let text = std::io::read_to_string(std::io::stdin()).map_err(failed)?;
        return Ok((Some(text), None));
    }
    if file.is_empty() {
        let name = if Path::new(path).join("Dockerfile").exists() { "Dockerfile" } else { "dockerfile" };
        return Ok((None, Some(name.to_owned())));
    }
    let whole = std::fs::canonicalize(file).map_err(failed)?;
    let root = std::fs::canonicalize(path)
        .map_err(|error| Failure::new(format!("open {path}: {}", crate::text::os(&error))))?;
    let name = whole.strip_prefix(&root).ok().and_then(Path::to_str).map(str::to_owned);
    let text = std::fs::read_to_string(&whole).map_err(failed)?;
    Ok((Some(text), name))
}

/// What does not fit into a query.
pub async fn extra(call: &Call, dockerfile: Option<String>) -> Result<Value, Failure> {
    let mut secrets = BTreeMap::new();
    for text in call.flags.list("secret") {
        let (id, bytes) = secret(text)?;
        secrets.insert(id, STANDARD.encode(bytes));
    }
    let mut contexts = BTreeMap::new();
    for text in call.flags.list("build-context") {
        let (name, place) = text
            .split_once('=')
            .ok_or_else(|| Failure::new(format!("invalid context value: {text}, expected key=value")))?;
        let place = match place.starts_with("docker-image://") || is_remote(place) {
            true => place.to_owned(),
            false => context::send(call.client()?, place, "").await?,
        };
        contexts.insert(name.to_owned(), place);
    }
    Ok(json!({ "dockerfile": dockerfile, "secrets": secrets, "contexts": contexts }))
}

/// `id=x,src=path`, `id=x,env=NAME`, `id=x`.
fn secret(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let (mut id, mut path, mut variable) = ("", "", "");
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) => id = value,
            Some(("src" | "source", value)) => path = value,
            Some(("env", value)) => variable = value,
            Some(("type", "file" | "env")) => {}
            _ => return Err(Failure::new(format!("invalid secret field {field:?}"))),
        }
    }
    if id.is_empty() {
        id = path.rsplit('/').next().unwrap_or_default();
    }
    if path.is_empty() {
        let name = if variable.is_empty() { id } else { variable };
        let value = std::env::var(name).map_err(|_| Failure::new(format!("secret {id}: {name} is not set")))?;
        return Ok((id.to_owned(), value.into_bytes()));
    }
    let bytes =
        std::fs::read(path).map_err(|error| Failure::new(format!("open {path}: {}", crate::text::os(&error))))?;
    Ok((id.to_owned(), bytes))
}

//! `berth manifest push`.

use super::store::{self, Entry};
use super::{DOCKER_INDEX, OCI_INDEX, canonical, parse, with_auth};
use crate::call::{Call, Failure, Outcome};
use crate::credential;
use crate::grammar::{Arity, Command, Flag};
use crate::progress;
use berth_client::{Body, Request, request::segment};
use berth_spec::Reference;
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[
    Flag::switch("insecure", "Accepted for Docker's sake; the daemon's insecure-registries decide").hidden(),
    Flag::switch("purge", "Remove the local manifest list after push").short('p'),
];

/// `berth manifest push`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] MANIFEST_LIST", "Push a manifest list to a repository", Arity::Exactly(1), |call| {
        Box::pin(push(call))
    })
    .with(&[FLAGS])
    .at(&["manifest push"]);

async fn push(call: Call) -> Outcome {
    let list = parse(&call.args[0])?;
    let name = canonical(&list);
    let entries = store::read(&call.config, &list)?.ok_or_else(|| Failure::new(format!("{name} not found")))?;
    for entry in &entries {
        bring(&call, &list, entry).await?;
    }
    let index = index(&entries);
    let kind = index["mediaType"].as_str().unwrap_or(OCI_INDEX).to_owned();
    let bytes = serde_json::to_vec(&index).map_err(|error| Failure::new(error.to_string()))?;
    let request = Request::put(format!("/berth/manifests/{}", segment(&list.familiar())));
    let request = request.body(Body::Bytes(bytes.into()), &kind);
    let answer: Value = call.client()?.json(with_auth(&call, &list, request)).await?;
    crate::say!("{}", answer["Digest"].as_str().unwrap_or_default())?;
    if call.flags.on("purge") {
        store::remove(&call.config, &list)?;
    }
    Ok(0)
}

/// Sees to it that the image is in the repository of the list.
async fn bring(call: &Call, list: &Reference, entry: &Entry) -> Result<(), Failure> {
    let source = parse(&entry.reference)?;
    if source.domain() != list.domain() {
        let (name, domain) = (&entry.reference, list.domain());
        return Err(Failure::new(format!(
            "cannot use source images from a different registry than the target image: {name} is not on {domain}"
        )));
    }
    if source.path() == list.path() {
        return Ok(());
    }
    let from = format!("{}@{}", source.familiar_name(), entry.descriptor.digest);
    let request = Request::post("/berth/images/copy").text("from", &from).text("to", &list.familiar_name());
    let request = request.header("x-registry-config", credential::headers(call, &[&source, list]));
    progress::show(call.client()?.stream(request).await?.documents(), true).await
}

/// The list as registries take it: Docker's own form unless an entry is OCI's.
pub fn index(entries: &[Entry]) -> Value {
    let is_docker = entries.iter().all(|entry| entry.descriptor.media_type == berth_spec::image::DOCKER_MANIFEST);
    let manifests: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut value = json!(entry.descriptor);
            if !entry.os_features.is_empty() {
                value["platform"]["os.features"] = json!(entry.os_features);
            }
            if !entry.os_version.is_empty() {
                value["platform"]["os.version"] = json!(entry.os_version);
            }
            value
        })
        .collect();
    let kind = if is_docker { DOCKER_INDEX } else { OCI_INDEX };
    json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests})
}

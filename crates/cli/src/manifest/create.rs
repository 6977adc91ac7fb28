//! `berth manifest create`.

use super::store::{self, Entry};
use super::{canonical, fetch, parse, with_auth};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use berth_client::{Request, request::segment};
use berth_spec::image::Descriptor;
use berth_spec::{Digest, Platform, Reference};
use serde::Deserialize;

static FLAGS: &[Flag] = &[
    Flag::switch("amend", "Amend an existing manifest list").short('a'),
    Flag::switch("insecure", "Accepted for Docker's sake; the daemon's insecure-registries decide").hidden(),
];

/// `berth manifest create`.
pub static COMMAND: Command = Command::verb(
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    "Create a local manifest list for annotating and pushing to a registry",
    Arity::AtLeast(2),
    |call| Box::pin(create(call)),
)
.with(&[FLAGS])
.at(&["manifest create"]);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    #[serde(default)]
    platforms: Vec<Platform>,
}

async fn create(call: Call) -> Outcome {
    let list = parse(&call.args[0])?;
    if store::read(&call.config, &list)?.is_some() && !call.flags.on("amend") {
        return Err(Failure::new("refusing to amend an existing manifest list with no --amend flag"));
    }
    let mut entries = Vec::new();
    for name in &call.args[1..] {
        entries.push(entry(&call, &parse(name)?).await?);
    }
    entries.iter().try_for_each(|entry| store::write(&call.config, &list, entry))?;
    crate::say!("Created manifest list {}", canonical(&list))?;
    Ok(0)
}

/// What a list says of an image on its registry.
async fn entry(call: &Call, reference: &Reference) -> Result<Entry, Failure> {
    let document = fetch(call, reference).await?;
    if document.is_list() {
        return Err(Failure::new(format!("{} is a manifest list", canonical(reference))));
    }
    let digest = Digest::parse(&document.digest).map_err(|error| Failure::new(error.to_string()))?;
    let request = Request::get(format!("/distribution/{}/json", segment(&reference.familiar())));
    let said: Distribution = call.client()?.json(with_auth(call, reference, request)).await?;
    let descriptor = Descriptor {
        media_type: document.media_type,
        digest,
        size: document.bytes.len() as u64,
        platform: said.platforms.into_iter().next(),
        annotations: None,
    };
    Ok(Entry { reference: canonical(reference), descriptor, os_features: Vec::new(), os_version: String::new() })
}

//! `berth manifest`: lists of images for several platforms, made here and pushed to a registry.
//!
//! ```text
//! <config>/manifests/<list>/<manifest>.json     a list under way: one file an entry
//! ```

mod annotate;
mod create;
mod inspect;
mod push;
mod rm;
mod store;

use crate::call::{Call, Failure};
use crate::credential;
use crate::grammar::{Command, Entry};
use berth_client::{Request, request::segment};
use berth_spec::Reference;

static ENTRIES: &[Entry] = &[
    Entry::new("annotate", &annotate::COMMAND),
    Entry::new("create", &create::COMMAND),
    Entry::new("inspect", &inspect::COMMAND),
    Entry::new("push", &push::COMMAND),
    Entry::new("rm", &rm::COMMAND),
];

/// `berth manifest`.
pub static GROUP: Command = Command::group("Manage Docker image manifests and manifest lists", ENTRIES);

const OCI_INDEX: &str = berth_spec::image::OCI_INDEX;
const DOCKER_INDEX: &str = berth_spec::image::DOCKER_INDEX;

/// A manifest as its registry has it.
struct Document {
    media_type: String,
    digest: String,
    bytes: bytes::Bytes,
}

impl Document {
    fn is_list(&self) -> bool {
        [OCI_INDEX, DOCKER_INDEX].contains(&self.media_type.as_str())
    }
}

fn parse(name: &str) -> Result<Reference, Failure> {
    Ok(Reference::parse(name).map_err(|error| Failure::new(error.to_string()))?.with_default_tag())
}

/// `docker.io/library/alpine:latest`.
fn canonical(reference: &Reference) -> String {
    let name = format!("{}/{}", reference.domain(), reference.path());
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => format!("{name}@{digest}"),
        (None, tag) => format!("{name}:{}", tag.unwrap_or("latest")),
    }
}

fn with_auth(call: &Call, reference: &Reference, request: Request) -> Request {
    let auth = credential::header(call, reference.domain());
    if auth.is_empty() { request } else { request.header("x-registry-auth", auth) }
}

/// Asks the registry.
async fn fetch(call: &Call, reference: &Reference) -> Result<Document, Failure> {
    let request = Request::get(format!("/berth/manifests/{}", segment(&reference.familiar())));
    let (headers, bytes) = call.client()?.whole(with_auth(call, reference, request)).await?;
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    Ok(Document { media_type: header("content-type"), digest: header("docker-content-digest"), bytes })
}

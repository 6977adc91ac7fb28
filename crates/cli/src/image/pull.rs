//! `berth pull`, and the pull that `run` and `create` do for a missing image.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::progress;
use berth_spec::Reference;

static FLAGS: &[Flag] = &[
    Flag::switch("all-tags", "Download all tagged images in the repository").short('a'),
    Flag::switch("disable-content-trust", "Skip image verification").default("true").hidden(),
    Flag::text("platform", "Set platform if server is multi-platform capable"),
    Flag::switch("quiet", "Suppress verbose output").short('q'),
];

/// `berth pull`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] NAME[:TAG|@DIGEST]", "Download an image from a registry", Arity::Exactly(1), |call| {
        Box::pin(pull(call))
    })
    .with(&[FLAGS])
    .at(&["image pull", "pull"]);

async fn pull(call: Call) -> Outcome {
    let name = call.args[0].as_str();
    let reference = Reference::parse(name).map_err(|e| Failure::new(e.to_string()))?;
    if call.flags.on("all-tags") {
        if reference.tag().is_some() || reference.digest().is_some() {
            return Err(Failure::new("tag can't be used with --all-tags/-a"));
        }
        let auth = crate::credential::header(&call, reference.domain());
        let client = call.client()?;
        let stream = client.pull(&reference.familiar_name(), "", call.flags.text("platform"), &auth).await?;
        progress::show(stream, call.flags.on("quiet")).await?;
        crate::say!("{}/{}", reference.domain(), reference.path())?;
        return Ok(0);
    }
    let tagless = reference.tag().is_none() && reference.digest().is_none();
    let shown = reference.with_default_tag();
    if tagless && !call.flags.on("quiet") {
        crate::say!("Using default tag: latest")?;
    }
    let stream = open(&call, name, call.flags.text("platform")).await?;
    progress::show(stream, call.flags.on("quiet")).await?;
    crate::say!("{}", canonical(&shown))?;
    Ok(0)
}

/// `docker.io/library/alpine:latest`.
fn canonical(reference: &Reference) -> String {
    let name = format!("{}/{}", reference.domain(), reference.path());
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => format!("{name}@{}", digest.as_str()),
        (None, Some(tag)) => format!("{name}:{tag}"),
        (None, None) => name,
    }
}

/// Pulls `image` with progress on stderr, as `run` wants it.
///
/// # Errors
/// The daemon's, or the name's.
pub async fn fetch(call: &Call, image: &str, platform: &str, quiet: bool) -> Result<(), Failure> {
    let stream = open(call, image, platform).await?;
    progress::show_aside(stream, quiet).await
}

async fn open(call: &Call, image: &str, platform: &str) -> Result<berth_client::stream::Documents, Failure> {
    let reference = Reference::parse(image).map_err(|e| Failure::new(e.to_string()))?.with_default_tag();
    let tag = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.as_str().to_owned(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    };
    let auth = crate::credential::header(call, reference.domain());
    Ok(call.client()?.pull(&reference.familiar_name(), &tag, platform, &auth).await?)
}

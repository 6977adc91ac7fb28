//! `berth pull`, and the pull that `run` and `create` do for a missing image.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::progress;
use base64::Engine;
use berth_spec::Reference;
use serde_json::json;

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
        return Err(Failure::new("--all-tags is not built yet; name each tag"));
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
    let auth = credentials(call, reference.domain());
    Ok(call.client()?.pull(&reference.familiar_name(), &tag, platform, &auth).await?)
}

/// The `X-Registry-Auth` header for `domain` from the user's configuration, or an empty text.
fn credentials(call: &Call, domain: &str) -> String {
    let key = if domain == "docker.io" { "https://index.docker.io/v1/" } else { domain };
    let Some(stored) = call.config.file().auths.get(key) else { return String::new() };
    let decoded = base64::engine::general_purpose::STANDARD.decode(&stored.auth).unwrap_or_default();
    let decoded = String::from_utf8(decoded).unwrap_or_default();
    let (user, password) = decoded.split_once(':').unwrap_or(("", ""));
    let auth = json!({
        "username": user,
        "password": password.trim_end_matches('\0'),
        "identitytoken": stored.identity_token,
        "serveraddress": key,
    });
    base64::engine::general_purpose::URL_SAFE.encode(auth.to_string())
}

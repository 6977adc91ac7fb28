//! `berth create`, and the part of it that `run` shares: the image is pulled when missing, the id written to a file.

use super::body::{self, Body};
use super::options::{ISOLATION, NETWORK, PROCESS, RESOURCES};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use berth_client::answer::Created;
use std::path::Path;

static FLAGS: &[Flag] =
    &[Flag::text("pull", "Pull image before creating (\"always\", \"missing\", \"never\")").default("missing")];

/// `berth create`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a new container", Arity::AtLeast(1), |call| {
        Box::pin(create(call))
    })
    .with(&[PROCESS, RESOURCES, ISOLATION, NETWORK, FLAGS])
    .at(&["container create", "create"])
    .flags_first();

async fn create(call: Call) -> Outcome {
    let body = body::build(&call.flags, &call.args[0], &call.args[1..]).map_err(|e| call.refuse(e))?;
    let created = make(&call, &body).await?;
    crate::say!("{}", created.id)?;
    Ok(0)
}

/// What is no fault of the command line: `create` fails with it as any command does, `run` with exit code 125.
fn failed(call: &Call, text: impl std::fmt::Display) -> Failure {
    if call.path.ends_with(" create") { Failure::new(text.to_string()) } else { call.refuse(text) }
}

/// Creates the container that `call` describes; warnings go to stderr.
///
/// # Errors
/// With exit code 125, or 1 where `create` itself was called and the daemon refuses.
pub async fn make(call: &Call, body: &Body) -> Result<Created, Failure> {
    let client = call.client().map_err(|e| call.refuse(e.text))?;
    let (flags, image) = (&call.flags, call.args[0].as_str());
    let policy = flags.text("pull");
    if !matches!(policy, "always" | "missing" | "never") {
        let text = format!("invalid pull option: '{policy}': must be one of \"always\", \"missing\" or \"never\"");
        return Err(call.refuse(text));
    }
    let file = flags.text("cidfile");
    if !file.is_empty() && Path::new(file).exists() {
        let text = format!("container ID file found, make sure the other container isn't running or delete {file}");
        return Err(failed(call, text));
    }
    let pull = async || -> Result<(), Failure> {
        crate::image::pull::fetch(call, image, flags.text("platform"), flags.on("quiet"))
            .await
            .map_err(|e| failed(call, e.text))
    };
    if policy == "always" {
        pull().await?;
    }
    let (name, platform) = (flags.text("name"), flags.text("platform"));
    let created = match client.create(name, platform, &body.json).await {
        Err(e) if policy == "missing" && is_missing_image(&e, image) => {
            crate::complain!("Unable to find image '{}' locally", familiar(image));
            pull().await?;
            client.create(name, platform, &body.json).await
        }
        other => other,
    };
    let created = created.map_err(|e| failed(call, e))?;
    for warning in &created.warnings {
        crate::complain!("WARNING: {warning}");
    }
    if !file.is_empty() {
        std::fs::write(file, &created.id)
            .map_err(|e| failed(call, format!("failed to write the container ID to the file: {file}: {e}")))?;
    }
    Ok(created)
}

/// A 404 of create may also be about a network or a volume: the text names the image.
fn is_missing_image(error: &berth_client::Error, image: &str) -> bool {
    let text = error.message();
    error.is_not_found() && (text.contains("No such image") || text.contains(image) && text.contains("image"))
}

/// The image's name with its tag, as Docker writes it.
fn familiar(image: &str) -> String {
    match berth_spec::Reference::parse(image) {
        Ok(reference) => reference.with_default_tag().familiar(),
        Err(_) => image.to_owned(),
    }
}

//! `berth push`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::{credential, progress};
use berth_client::{Request, request::segment};
use berth_spec::Reference;

static FLAGS: &[Flag] = &[
    Flag::switch("all-tags", "Push all tags of an image to the repository").short('a'),
    Flag::switch("disable-content-trust", "Skip image signing").default("true").hidden(),
    Flag::text("platform", "Push a platform-specific manifest as a single-platform image to the registry"),
    Flag::switch("quiet", "Suppress verbose output").short('q'),
];

/// `berth push`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] NAME[:TAG]", "Upload an image to a registry", Arity::Exactly(1), |call| {
        Box::pin(push(call))
    })
    .with(&[FLAGS])
    .at(&["image push", "push"]);

async fn push(call: Call) -> Outcome {
    let reference = Reference::parse(&call.args[0]).map_err(|error| Failure::new(error.to_string()))?;
    let (is_all, is_quiet) = (call.flags.on("all-tags"), call.flags.on("quiet"));
    if is_all && reference.tag().is_some() {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    if reference.digest().is_some() {
        return Err(Failure::new("cannot push a digest reference"));
    }
    let name = reference.familiar_name();
    let tag = match (is_all, reference.tag()) {
        (true, _) => String::new(),
        (false, Some(tag)) => tag.to_owned(),
        (false, None) => {
            if !is_quiet {
                crate::say!("Using default tag: latest")?;
            }
            "latest".to_owned()
        }
    };
    let auth = credential::header(&call, reference.domain());
    let request = Request::post(format!("/images/{}/push", segment(&name))).text("tag", &tag);
    let request = request.text("platform", call.flags.text("platform"));
    // The header is part of the call even when it is empty.
    let request = request.header("x-registry-auth", if auth.is_empty() { "e30=".to_owned() } else { auth });
    let stream = call.client()?.stream(request).await?.documents();
    progress::show(stream, is_quiet).await?;
    if is_quiet {
        let full = format!("{}/{}", reference.domain(), reference.path());
        crate::say!("{full}{}{tag}", if tag.is_empty() { "" } else { ":" })?;
    }
    Ok(0)
}

//! `berth build`: sends what changed of a folder, builds, shows how it goes.

mod cache;
mod context;
mod live;
mod output;
mod progress;
mod request;

use std::io::{IsTerminal, Read, Write};

use serde_json::Value;

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use output::Output;
pub use progress::{Mode, Progress};

static FLAGS: &[Flag] = &[
    Flag::list("add-host", "Add a custom host-to-IP mapping (\"host:ip\")").value("strings"),
    Flag::list("allow", "Allow extra privileged entitlement (\"network.host\", \"security.insecure\", \"device\")")
        .value("strings"),
    Flag::list("attest", "Attestation parameters (\"type=sbom\", \"type=provenance,mode=max\")").value("list"),
    Flag::list("build-arg", "Set build-time variables").value("list"),
    Flag::list("build-context", "Additional build contexts (\"name=path\")").value("strings"),
    Flag::list("cache-from", "External cache sources (\"type=registry,ref=NAME\", \"type=local,src=DIR\")")
        .value("list"),
    Flag::list(
        "cache-to",
        "Cache export destinations (\"type=registry,ref=NAME,mode=max\", \"type=local,dest=DIR\", \"type=inline\")",
    )
    .value("list"),
    Flag::text("cgroup-parent", "Set the parent cgroup for the \"RUN\" instructions during build"),
    Flag::switch("check", "Judge the Dockerfile and build nothing"),
    Flag::switch("explain", "Say for each step why it was cached or not"),
    Flag::text("file", "Name of the Dockerfile (default: \"PATH/Dockerfile\")").short('f'),
    Flag::text("iidfile", "Write the image ID to a file"),
    Flag::list("label", "Set metadata for an image").value("list"),
    Flag::switch("load", "Shorthand for \"--output=type=image\", which every build does"),
    Flag::bytes("memory", "Memory limit of each step").short('m'),
    Flag::text("metadata-file", "Write build result metadata to a file"),
    Flag::text("network", "Set the networking mode for the \"RUN\" instructions during build").default("default"),
    Flag::switch("no-cache", "Do not use cache when building the image"),
    Flag::list("no-cache-filter", "Do not cache specified stages").value("strings"),
    Flag::list("output", "Output destination (\"type=local,dest=path\", \"type=tar,dest=path\")")
        .short('o')
        .value("list"),
    Flag::list("platform", "Set target platform for build").value("strings"),
    Flag::text(
        "progress",
        "Set type of progress output (\"auto\", \"none\", \"plain\", \"quiet\", \"rawjson\", \"tty\")",
    )
    .default("auto"),
    Flag::text("provenance", "Shorthand for \"--attest=type=provenance\""),
    Flag::switch("pull", "Always attempt to pull all referenced images"),
    Flag::switch("push", "Shorthand for \"--output=type=registry\""),
    Flag::switch("quiet", "Suppress the build output and print image ID on success").short('q'),
    Flag::text("sbom", "Shorthand for \"--attest=type=sbom\""),
    Flag::list("secret", "Secret to expose to the build (\"id=mysecret[,src=/local/secret]\")").value("list"),
    Flag::bytes("shm-size", "Shared memory size for build containers"),
    Flag::list("tag", "Name and optionally a tag (\"name:tag\")").short('t').value("list"),
    Flag::text("target", "Set the target build stage to build"),
];

/// `berth build`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] PATH | URL | -", "Start a build", Arity::Exactly(1), |call| Box::pin(build(call)))
        .with(&[FLAGS])
        .at(&["build", "builder build", "image build"]);

async fn build(call: Call) -> Outcome {
    let mode = mode(&call)?;
    let place = call.args[0].as_str();
    let outputs: Vec<Output> = call.flags.list("output").map(Output::parse).collect::<Result<_, _>>()?;
    let platforms: Vec<String> =
        call.flags.list("platform").flat_map(|list| list.split(',')).map(str::to_owned).collect();
    outputs.iter().try_for_each(|output| output.check(platforms.len()))?;
    let mut request = request::describe(&call)?
        .each("t", outputs.iter().flat_map(|output| &output.names).map(String::as_str))
        .on("push", call.flags.on("push") || outputs.iter().any(|output| output.push))
        .text("cachefrom", &cache::from(&call).await?.to_string())
        .text("cacheto", &cache::to(&call)?.to_string());
    let stream = match place {
        "-" => {
            request = request.body(berth_client::Body::reader(archive()?), "application/x-tar");
            call.client()?.stream(request).await?
        }
        address if request::is_remote(address) => {
            let (dockerfile, name) = match call.flags.text("file") {
                "-" => request::dockerfile(&call, address)?,
                name => (None, Some(name.to_owned()).filter(|name| !name.is_empty())),
            };
            let extra = request::extra(&call, dockerfile).await?;
            let name = name.as_deref().unwrap_or("Dockerfile");
            let request = request.text("remote", address).text("dockerfile", name);
            let body = std::io::Cursor::new(extra.to_string());
            call.client()?.stream(request.body(berth_client::Body::reader(body), "application/json")).await?
        }
        path => {
            let (dockerfile, name) = request::dockerfile(&call, path)?;
            let id = context::send(call.client()?, path, name.as_deref().unwrap_or("Dockerfile")).await?;
            let extra = request::extra(&call, dockerfile).await?;
            let request = request.text("context", &id).text("dockerfile", name.as_deref().unwrap_or_default());
            let body = std::io::Cursor::new(extra.to_string());
            call.client()?.stream(request.body(berth_client::Body::reader(body), "application/json")).await?
        }
    };
    let mut documents = stream.documents();
    let mut progress = Progress::new(mode, call.flags.on("explain"));
    while let Some(event) = documents.next::<Value>().await? {
        progress.show(&event)?;
    }
    let outcome = progress.finish()?;
    if let Some(shown) = outcome["shown"].as_str().filter(|_| !matches!(mode, Mode::Raw | Mode::Quiet)) {
        writeln!(std::io::stderr(), "{}", progress::printable(shown))?;
    }
    if let Some(reason) = outcome["error"].as_str() {
        return Err(Failure::new(format!("ERROR: failed to build: {reason}")));
    }
    finish(&call, &outcome, &outputs, &platforms).await
}

/// What is said and written after a build.
async fn finish(call: &Call, outcome: &Value, outputs: &[Output], platforms: &[String]) -> Outcome {
    let id = outcome["images"][0].as_str().unwrap_or_default();
    let write = |path: &str, text: &str| {
        std::fs::write(path, text).map_err(|error| Failure::new(format!("open {path}: {}", crate::text::os(&error))))
    };
    if let path @ [_, ..] = call.flags.text("iidfile").as_bytes() {
        write(&String::from_utf8_lossy(path), id)?;
    }
    if let path @ [_, ..] = call.flags.text("metadata-file").as_bytes() {
        let about = serde_json::json!({
            "containerimage.config.digest": id, "containerimage.digest": outcome["pushed"], "image.name": outcome["names"][0], "buildx.build.ref": outcome["reference"],
        });
        write(&String::from_utf8_lossy(path), &format!("{about:#}\n"))?;
    }
    let names: Vec<String> =
        outcome["names"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    for output in outputs {
        output.receive(call.client()?, outcome, &names, platforms).await?;
    }
    cache::receive(call, outcome).await?;
    if call.flags.on("quiet") {
        crate::say!("{id}")?;
    }
    Ok(0)
}

fn mode(call: &Call) -> Result<Mode, Failure> {
    if call.flags.on("quiet") {
        return Ok(Mode::Quiet);
    }
    match call.flags.text("progress") {
        "auto" if std::io::stderr().is_terminal() => Ok(Mode::Live),
        "auto" | "plain" => Ok(Mode::Plain),
        "tty" => Ok(Mode::Live),
        "rawjson" => Ok(Mode::Raw),
        "quiet" | "none" => Ok(Mode::Quiet),
        other => Err(Failure::new(format!("invalid progress {other:?}: use auto, plain, tty, rawjson, quiet or none"))),
    }
}

/// The standard input: an archive, or a Dockerfile alone, which becomes one.
fn archive() -> Result<Box<dyn Read + Send>, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot read the standard input: {error}"));
    let mut head = vec![0u8; 512];
    let mut input = std::io::stdin();
    let mut length = 0;
    while length < head.len() {
        match input.read(&mut head[length..]).map_err(failed)? {
            0 => break,
            read => length += read,
        }
    }
    head.truncate(length);
    let is_archive = head.get(257..262) == Some(b"ustar")
        || [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd]].iter().any(|magic| head.starts_with(magic));
    if is_archive {
        return Ok(Box::new(std::io::Cursor::new(head).chain(input)));
    }
    input.read_to_end(&mut head).map_err(failed)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(head.len() as u64);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "Dockerfile", &head[..]).map_err(failed)?;
    Ok(Box::new(std::io::Cursor::new(builder.into_inner().map_err(failed)?)))
}

//! The client's policy of sources, asked for each image that a Dockerfile names before anything is built.

use std::collections::BTreeSet;

use berth_buildkit::{
    grpc::{Code, Status},
    request::Options,
    session::Session,
};
use berth_dockerfile::{
    Command, Source,
    scope::{Globals, Platforms},
};
use berth_spec::{Platform, Reference};

/// Asks for every image of `FROM` and `COPY --from`. What `ADD` fetches is refused: its policy cannot be asked yet.
pub async fn check(policy: &Session, dockerfile: &[u8], options: &Options) -> Result<(), Status> {
    // A Dockerfile that cannot be read fails its build with a better sentence.
    let Ok(file) = berth_dockerfile::parse_bytes(dockerfile) else { return Ok(()) };
    let build = Platform::host();
    let target = options.platforms.first().cloned().unwrap_or_else(|| build.clone());
    let platforms = Platforms { build, target: target.clone() };
    let stage = options.target.as_deref().unwrap_or_default();
    let Ok(globals) = Globals::new(&file, &options.build_args, &platforms, stage) else { return Ok(()) };
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        let image = globals.expand(&stage.from.image).map(|expanded| expanded.value).unwrap_or_default();
        if image != "scratch" && file.stage(&image, stage.index).is_none() {
            names.insert(image);
        }
        for instruction in &stage.instructions {
            match &instruction.command {
                Command::Copy(copy) => {
                    let from = copy.from.as_ref().map(|from| from.value.clone());
                    names.extend(from.filter(|from| file.stage(from, stage.index).is_none()));
                }
                Command::Add(add) => {
                    let is_remote = |source: &Source| matches!(source, Source::Path(path) if path.contains("://"));
                    if add.sources.iter().any(is_remote) {
                        let message = format!("a policy for {:?} is not there", instruction.text);
                        return Err(Status::new(Code::Unimplemented, message));
                    }
                }
                _ => {}
            }
        }
    }
    for name in names.iter().filter(|name| !options.contexts.contains_key(*name)) {
        let Ok(reference) = Reference::parse(name) else { continue };
        policy.allows(&format!("docker-image://{reference}"), &target).await?;
    }
    Ok(())
}

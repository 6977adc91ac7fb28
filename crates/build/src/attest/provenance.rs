//! How an image was made (SLSA provenance v1 and v0.2, with BuildKit's fields for builds of Dockerfiles).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_image::Predicate;
use serde_json::{Value, json};

use super::{Made, Version};
use crate::Source;

/// BuildKit's definition of what a build of a Dockerfile is.
const TYPE_V1: &str = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
const TYPE_V02: &str = "https://mobyproject.org/buildkit@v1";

/// Something that a build took from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Material {
    /// `pkg:docker/debian@12?platform=linux%2Famd64`, `https://…`.
    pub uri: String,
    /// `sha256`, `sha1`.
    pub algorithm: &'static str,
    /// Hexadecimal digits.
    pub digest: String,
}

impl Material {
    fn value(&self) -> Value {
        json!({ "uri": self.uri, "digest": { self.algorithm: self.digest } })
    }
}

pub fn predicate(made: &Made<'_>, max: bool, version: Version) -> Predicate {
    let (kind, body) = match version {
        Version::V1 => ("https://slsa.dev/provenance/v1", v1(made, max)),
        Version::V02 => ("https://slsa.dev/provenance/v0.2", v02(made, max)),
    };
    Predicate { kind: kind.to_owned(), body }
}

fn v1(made: &Made<'_>, max: bool) -> Value {
    let materials: Vec<Value> = made.materials.iter().map(Material::value).collect();
    let mut body = json!({
        "buildDefinition": {
            "buildType": TYPE_V1,
            "externalParameters": {
                "configSource": { "path": made.request.dockerfile_name },
                "request": parameters(made, max),
            },
            "internalParameters": { "builderPlatform": berth_spec::Platform::host().to_string() },
            "resolvedDependencies": materials,
        },
        "runDetails": {
            "builder": { "id": "" },
            "metadata": {
                "invocationId": made.request.reference,
                "startedOn": time(made.started),
                "finishedOn": time(made.finished),
                "buildkit_completeness": { "request": max, "resolvedDependencies": !has_local(made) },
            },
        },
    });
    if max {
        body["runDetails"]["metadata"]["buildkit_metadata"] = source(made);
    }
    body
}

fn v02(made: &Made<'_>, max: bool) -> Value {
    let materials: Vec<Value> = made.materials.iter().map(Material::value).collect();
    let mut body = json!({
        "builder": { "id": "" },
        "buildType": TYPE_V02,
        "materials": materials,
        "invocation": {
            "configSource": { "entryPoint": made.request.dockerfile_name },
            "parameters": parameters(made, max),
            "environment": { "platform": berth_spec::Platform::host().to_string() },
        },
        "metadata": {
            "buildInvocationID": made.request.reference,
            "buildStartedOn": time(made.started),
            "buildFinishedOn": time(made.finished),
            "completeness": { "parameters": max, "environment": true, "materials": !has_local(made) },
            "reproducible": false,
        },
    });
    if max {
        body["metadata"]["https://mobyproject.org/buildkit@v1#metadata"] = source(made);
    }
    body
}

fn time(at: berth_kit::time::Timestamp) -> String {
    at.to_string()
}

fn has_local(made: &Made<'_>) -> bool {
    let folder = |source: &Source| matches!(source, Source::Folder(_));
    folder(&made.request.context) || made.request.contexts.values().any(folder)
}

fn parameters(made: &Made<'_>, max: bool) -> Value {
    let request = made.request;
    let mut args = BTreeMap::from([("platform".to_owned(), made.platform.to_string())]);
    if let Some(target) = &request.target {
        args.insert("target".to_owned(), target.clone());
    }
    if max {
        args.extend(request.args.iter().map(|(name, value)| (format!("build-arg:{name}"), value.clone())));
        args.extend(request.labels.iter().map(|(name, value)| (format!("label:{name}"), value.clone())));
    }
    let mut locals = Vec::new();
    if matches!(request.context, Source::Folder(_)) {
        locals.extend([json!({ "name": "context" }), json!({ "name": "dockerfile" })]);
    }
    let folders = request.contexts.iter().filter(|(_, source)| matches!(source, Source::Folder(_)));
    locals.extend(folders.map(|(name, _)| json!({ "name": name })));
    json!({ "frontend": "dockerfile.v0", "args": args, "locals": locals })
}

/// The Dockerfile itself.
fn source(made: &Made<'_>) -> Value {
    let info = json!({
        "filename": made.request.dockerfile_name, "language": "Dockerfile",
        "data": STANDARD.encode(&made.request.dockerfile),
    });
    json!({ "source": { "infos": [info] } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    #[test]
    fn arguments_are_told_only_where_asked_for() {
        let mut request = Request::new(b"FROM scratch\n".to_vec(), Source::Nothing);
        request.args.insert("TOKEN".into(), "hidden".into());
        let id = berth_archive::hash::digest(b"x");
        let platform = berth_spec::Platform::host();
        let at = berth_kit::time::Timestamp::UNIX_EPOCH;
        let materials = [Material { uri: "https://a.test/x".into(), algorithm: "sha256", digest: "ab".into() }];
        let made =
            Made { request: &request, id: &id, platform: &platform, materials: &materials, started: at, finished: at };
        for version in [Version::V1, Version::V02] {
            let min = predicate(&made, false, version).body.to_string();
            let max = predicate(&made, true, version).body.to_string();
            assert!(!min.contains("hidden") && max.contains("hidden"));
            assert!(min.contains("https://a.test/x"));
        }
    }
}

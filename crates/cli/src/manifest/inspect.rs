//! `berth manifest inspect`.

use super::{canonical, fetch, parse, push, store};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[
    Flag::switch("insecure", "Accepted for Docker's sake; the daemon's insecure-registries decide").hidden(),
    Flag::switch("verbose", "Output additional info including layers and platform").short('v'),
];

/// `berth manifest inspect`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Display an image manifest, or manifest list",
    Arity::Between(1, 2),
    |call| Box::pin(inspect(call)),
)
.with(&[FLAGS])
.at(&["manifest inspect"]);

async fn inspect(call: Call) -> Outcome {
    if let [list, image] = &call.args[..] {
        let (list, image) = (parse(list)?, canonical(&parse(image)?));
        let entries = store::read(&call.config, &list)?.unwrap_or_default();
        let entry = entries.into_iter().find(|entry| entry.reference == image);
        let entry = entry.ok_or_else(|| Failure::new(format!("No such manifest: {image}")))?;
        return show(&json!(entry.descriptor));
    }
    let reference = parse(&call.args[0])?;
    if let Some(entries) = store::read(&call.config, &reference)? {
        return show(&push::index(&entries));
    }
    let document = fetch(&call, &reference).await?;
    let value: Value = serde_json::from_slice(&document.bytes).map_err(|error| Failure::new(error.to_string()))?;
    if !call.flags.on("verbose") {
        return show(&value);
    }
    if !document.is_list() {
        return show(&verbose(&canonical(&reference), &document, &value, None));
    }
    let mut all = Vec::new();
    for child in value["manifests"].as_array().into_iter().flatten() {
        let name = format!("{}@{}", reference.familiar_name(), child["digest"].as_str().unwrap_or_default());
        let below = fetch(&call, &parse(&name)?).await?;
        let manifest = serde_json::from_slice(&below.bytes).map_err(|error| Failure::new(error.to_string()))?;
        all.push(verbose(&name, &below, &manifest, child.get("platform")));
    }
    show(&Value::Array(all))
}

fn verbose(name: &str, document: &super::Document, manifest: &Value, platform: Option<&Value>) -> Value {
    let kind = if document.media_type == berth_spec::image::OCI_MANIFEST { "OCIManifest" } else { "SchemaV2Manifest" };
    let mut descriptor =
        json!({"mediaType": document.media_type, "digest": document.digest, "size": document.bytes.len()});
    if let Some(platform) = platform {
        descriptor["platform"] = platform.clone();
    }
    json!({"Ref": name, "Descriptor": descriptor, kind: manifest})
}

fn show(value: &Value) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?;
    crate::say!("{text}")?;
    Ok(0)
}

//! `berth manifest annotate`.

use super::{canonical, parse, store};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use berth_spec::Platform;

static FLAGS: &[Flag] = &[
    Flag::text("arch", "Set architecture"),
    Flag::text("os", "Set operating system"),
    Flag::list("os-features", "Set operating system feature"),
    Flag::text("os-version", "Set operating system version"),
    Flag::text("variant", "Set architecture variant"),
];

/// `berth manifest annotate`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    "Add additional information to a local image manifest",
    Arity::Exactly(2),
    |call| Box::pin(annotate(call)),
)
.with(&[FLAGS])
.at(&["manifest annotate"]);

async fn annotate(call: Call) -> Outcome {
    let (list, image) = (parse(&call.args[0])?, canonical(&parse(&call.args[1])?));
    let missing = || Failure::new(format!("manifest for image {image} does not exist in {}", canonical(&list)));
    let entries = store::read(&call.config, &list)?
        .ok_or_else(|| Failure::new(format!("No such manifest: {}", canonical(&list))))?;
    let mut entry = entries.into_iter().find(|entry| entry.reference == image).ok_or_else(missing)?;
    let flags = &call.flags;
    let mut platform = entry.descriptor.platform.take().unwrap_or_else(Platform::host);
    let set = |flag: &str, value: &mut String| {
        if flags.given(flag) {
            flags.text(flag).clone_into(value);
        }
    };
    set("arch", &mut platform.architecture);
    set("os", &mut platform.os);
    set("os-version", &mut entry.os_version);
    if flags.given("variant") {
        platform.variant = Some(flags.text("variant").to_owned()).filter(|variant| !variant.is_empty());
    }
    for feature in flags.list("os-features") {
        if !entry.os_features.iter().any(|known| known == feature) {
            entry.os_features.push(feature.to_owned());
        }
    }
    entry.descriptor.platform = Some(platform);
    store::write(&call.config, &list, &entry)?;
    Ok(0)
}

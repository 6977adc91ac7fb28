//! `GET /system/df`: who takes how much disk. The form changed with API 1.52.

use std::sync::Arc;

use axum::extract::State;
use berth_spec::model::{ContainerSummary, ContainerSummaryStateEnum, ImageSummary, Volume};
use serde_json::{Value, json};

use crate::{Engine, Error, failure::Answer, query::Query, stream, version::Version};

const KINDS: &[&str] = &["container", "image", "volume", "build-cache"];

/// What was measured; `None` was not asked for.
#[derive(Default, Clone)]
struct Usage {
    layers_bytes: i64,
    images_reclaimable_bytes: i64,
    images: Option<Vec<ImageSummary>>,
    containers: Option<Vec<ContainerSummary>>,
    volumes: Option<Vec<Volume>>,
    build_cache: Option<Vec<Value>>,
}

pub async fn usage(State(engine): State<Arc<Engine>>, query: Query, version: Version) -> Answer {
    let kinds = query.all("type");
    if let Some(unknown) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(Error::Invalid(format!("unknown object type: {unknown}")).into());
    }
    let wants = |kind: &str| kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind);
    let mut usage = Usage::default();
    if wants("build-cache") {
        usage.build_cache = Some(crate::build::usage::records(&engine).await?);
    }
    if wants("container") {
        usage.containers = Some(engine.containers.usage().await?);
    }
    if wants("image") {
        let images = engine.images.usage();
        usage.layers_bytes = i64::try_from(images.layers_bytes).unwrap_or(i64::MAX);
        usage.images_reclaimable_bytes = i64::try_from(images.reclaimable_bytes).unwrap_or(i64::MAX);
        usage.images = Some(images.images);
    }
    if wants("volume") {
        usage.volumes = Some(engine.volumes.usage().await);
    }
    let verbose = query.flag("verbose")?;
    stream::json(&answer(usage, version, verbose)?)
}

/// API 1.52 alone has both forms, but for the verbose one.
fn answer(usage: Usage, version: Version, verbose: bool) -> Result<Value, Error> {
    if version < Version::new(1, 52) {
        return lists(usage);
    }
    if version > Version::new(1, 52) || verbose {
        return sums(usage, verbose);
    }
    let mut both = lists(usage.clone())?;
    if let (Value::Object(both), Value::Object(sums)) = (&mut both, sums(usage, false)?) {
        both.extend(sums);
    }
    Ok(both)
}

/// Up to API 1.51: whole lists, which the client adds up.
fn lists(usage: Usage) -> Result<Value, Error> {
    let mut answer = json!({ "LayersSize": usage.layers_bytes, "BuilderSize": 0 });
    answer["Images"] = serde_json::to_value(usage.images)?;
    answer["Containers"] = serde_json::to_value(usage.containers)?;
    answer["Volumes"] = serde_json::to_value(usage.volumes)?;
    answer["BuildCache"] = serde_json::to_value(usage.build_cache)?;
    Ok(answer)
}

/// From API 1.52 on: sums, and lists only when asked.
fn sums(usage: Usage, verbose: bool) -> Result<Value, Error> {
    let mut answer = json!({});
    let mut add = |key: &str, sum: Sum, items: Value| {
        answer[key] = json!({ "ActiveCount": sum.active, "TotalCount": sum.total,
            "TotalSize": sum.bytes, "Reclaimable": sum.reclaimable_bytes });
        if verbose {
            answer[key]["Items"] = items;
        }
    };
    if let Some(images) = usage.images {
        let mut sum = Sum::of(images.iter().map(|image| (image.containers > 0, image.size)));
        sum.bytes = usage.layers_bytes;
        sum.reclaimable_bytes = usage.images_reclaimable_bytes;
        add("ImageUsage", sum, serde_json::to_value(images)?);
    }
    if let Some(containers) = usage.containers {
        let runs = |container: &ContainerSummary| container.state == Some(ContainerSummaryStateEnum::RUNNING);
        let sum = Sum::of(containers.iter().map(|container| (runs(container), container.size_rw.unwrap_or(0))));
        add("ContainerUsage", sum, serde_json::to_value(containers)?);
    }
    if let Some(volumes) = usage.volumes {
        let data =
            |volume: &Volume| volume.usage_data.clone().map_or((0, 0), |data| (data.ref_count, data.size.max(0)));
        let sum = Sum::of(volumes.iter().map(|volume| (data(volume).0 > 0, data(volume).1)));
        add("VolumeUsage", sum, serde_json::to_value(volumes)?);
    }
    if let Some(entries) = usage.build_cache {
        let sum = Sum::of(entries.iter().map(|entry| (false, entry["Size"].as_i64().unwrap_or(0))));
        add("BuildCacheUsage", sum, Value::Array(entries));
    }
    Ok(answer)
}

#[derive(Default)]
struct Sum {
    active: i64,
    total: i64,
    bytes: i64,
    reclaimable_bytes: i64,
}

impl Sum {
    /// Of things that are in use or not, with their size in bytes.
    fn of(things: impl Iterator<Item = (bool, i64)>) -> Self {
        things.fold(Self::default(), |sum, (active, bytes)| Self {
            active: sum.active + i64::from(active),
            total: sum.total + 1,
            bytes: sum.bytes + bytes,
            reclaimable_bytes: sum.reclaimable_bytes + if active { 0 } else { bytes },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_has_both_forms() {
        let keys = |minor, verbose| {
            let usage = Usage { volumes: Some(Vec::new()), ..Usage::default() };
            let answer = answer(usage, Version::new(1, minor), verbose).unwrap();
            (answer.get("LayersSize").is_some(), answer.get("VolumeUsage").is_some())
        };
        assert_eq!(
            [keys(51, false), keys(52, false), keys(52, true), keys(53, false)],
            [(true, false), (true, true), (false, true), (false, true)]
        );
    }

    #[test]
    fn sums_split_what_is_used_from_what_is_not() {
        let sum = Sum::of([(true, 5), (false, 7)].into_iter());
        assert_eq!((sum.active, sum.total, sum.bytes, sum.reclaimable_bytes), (1, 2, 12, 7));
    }
}

//! `berth system df`.

use crate::call::{Call, Outcome};
use crate::container::ps;
use crate::format::{Column, List, Row, row};
use crate::grammar::{Arity, Command, Flag};
use crate::image::ls;
use crate::{format_flag, text};
use berth_client::answer::{Container, Image};
use serde_json::Value;

static FLAGS: &[Flag] =
    &[format_flag::TABLE, Flag::switch("verbose", "Show detailed information on space usage").short('v')];

/// `berth system df`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Show disk usage", Arity::None, |call| Box::pin(df(call))).with(&[FLAGS]);

const COLUMNS: &[Column] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];
const TABLE: &[&str] = &["Type", "TotalCount", "Active", "Size", "Reclaimable"];

/// The parts of GET /system/df.
struct Usage {
    layers_bytes: i64,
    images: Vec<Image>,
    containers: Vec<Container>,
    volumes: Vec<Volume>,
    cache: Vec<Cache>,
}

struct Volume {
    name: String,
    links: i64,
    bytes: i64,
}

struct Cache {
    bytes: i64,
    in_use: bool,
    shared: bool,
}

async fn df(call: Call) -> Outcome {
    let usage = Usage::read(&call.client()?.disk_usage().await?);
    match call.flags.on("verbose") {
        false => {
            let list = List { columns: COLUMNS, table: TABLE, kind: "diskUsageContext" };
            list.print(call.flags.text("format"), &usage.rows())?;
        }
        true => crate::put!("{}", usage.verbose()?)?,
    }
    Ok(0)
}

impl Usage {
    /// Reads the lists of API 1.51 and earlier, or the items of the sums that 1.52 puts in their place.
    fn read(json: &Value) -> Self {
        let array = |key: &str, sum: &str| {
            let list = json[key].as_array().or_else(|| json[sum]["Items"].as_array());
            list.cloned().unwrap_or_default()
        };
        let volume = |volume: &Value| Volume {
            name: volume["Name"].as_str().unwrap_or("").to_owned(),
            links: volume["UsageData"]["RefCount"].as_i64().unwrap_or(0),
            bytes: volume["UsageData"]["Size"].as_i64().unwrap_or(0),
        };
        let cache = |cache: &Value| Cache {
            bytes: cache["Size"].as_i64().unwrap_or(0),
            in_use: cache["InUse"].as_bool().unwrap_or(false),
            shared: cache["Shared"].as_bool().unwrap_or(false),
        };
        Self {
            layers_bytes: json["LayersSize"].as_i64().or_else(|| json["ImageUsage"]["TotalSize"].as_i64()).unwrap_or(0),
            images: array("Images", "ImageUsage").into_iter().filter_map(|v| serde_json::from_value(v).ok()).collect(),
            containers: array("Containers", "ContainerUsage")
                .into_iter()
                .filter_map(|v| serde_json::from_value(v).ok())
                .collect(),
            volumes: array("Volumes", "VolumeUsage").iter().map(volume).collect(),
            cache: array("BuildCache", "BuildCacheUsage").iter().map(cache).collect(),
        }
    }

    fn rows(&self) -> Vec<Row> {
        vec![
            self.images_row(),
            self.containers_row(),
            {
                let total: i64 = self.volumes.iter().map(|v| v.bytes.max(0)).sum();
                let free: i64 = self.volumes.iter().filter(|v| v.links == 0).map(|v| v.bytes.max(0)).sum();
                let active = self.volumes.iter().filter(|v| v.links > 0).count();
                usage_row("Local Volumes", self.volumes.len(), active, total, free)
            },
            {
                let total: i64 = self.cache.iter().map(|c| c.bytes).sum();
                let free: i64 = self.cache.iter().filter(|c| !c.in_use && !c.shared).map(|c| c.bytes).sum();
                let active = self.cache.iter().filter(|c| c.in_use).count();
                let mut row = usage_row("Build Cache", self.cache.len(), active, total, free);
                row.insert("Reclaimable".into(), space(free).into());
                row
            },
        ]
    }

    fn images_row(&self) -> Row {
        let active = self.images.iter().filter(|i| i.containers > 0).count();
        let used: i64 = self
            .images
            .iter()
            .filter(|i| i.containers > 0 && i.size != -1 && i.shared_size != -1)
            .map(|i| i.size - i.shared_size)
            .sum();
        let free = (self.layers_bytes - used).max(0);
        let mut row = usage_row("Images", self.images.len(), active, self.layers_bytes, free);
        if self.layers_bytes > 0 {
            row.insert("Reclaimable".into(), percent(free, self.layers_bytes).into());
        }
        row
    }

    fn containers_row(&self) -> Row {
        let active = |c: &&Container| matches!(c.state.as_str(), "running" | "paused" | "restarting");
        let total: i64 = self.containers.iter().map(|c| c.size_rw).sum();
        let used: i64 = self.containers.iter().filter(active).map(|c| c.size_rw).sum();
        let count = self.containers.iter().filter(active).count();
        usage_row("Containers", self.containers.len(), count, total, total - used)
    }

    fn verbose(&self) -> Result<String, crate::call::Failure> {
        let image_table =
            &["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"];
        let list = List { columns: ls::COLUMNS, table: image_table, kind: "imageContext" };
        let rows: Vec<_> = self.images.iter().flat_map(|i| ls::rows(i, false, false)).collect();
        let mut out = format!("Images space usage:\n\n{}", list.text("", &rows)?);
        let table = &["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];
        let list = List { columns: ps::COLUMNS, table, kind: "containerContext" };
        let plain = |container: &Container| {
            let mut row = ps::fields(container, false);
            row.insert("Size".into(), space(container.size_rw).into());
            row
        };
        let rows: Vec<_> = self.containers.iter().map(plain).collect();
        out.push_str(&format!("\nContainers space usage:\n\n{}", list.text("", &rows)?));
        let columns: &[Column] = &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")];
        let list = List { columns, table: &["Name", "Links", "Size"], kind: "volumeContext" };
        let volume = |v: &Volume| {
            row([
                ("Name", v.name.as_str().into()),
                ("Links", v.links.to_string().into()),
                ("Size", if v.bytes == -1 { "N/A".to_owned() } else { space(v.bytes) }.into()),
            ])
        };
        let rows: Vec<_> = self.volumes.iter().map(volume).collect();
        out.push_str(&format!("\nLocal Volumes space usage:\n\n{}", list.text("", &rows)?));
        let cached: i64 = self.cache.iter().map(|c| c.bytes).sum();
        out.push_str(&format!("\nBuild cache usage: {}\n\n", space(cached)));
        let columns: &[Column] = &[
            ("ID", "CACHE ID"),
            ("Kind", "CACHE TYPE"),
            ("Size", "SIZE"),
            ("Created", "CREATED"),
            ("Used", "LAST USED"),
            ("Usage", "USAGE"),
            ("Shared", "SHARED"),
        ];
        let table = &["ID", "Kind", "Size", "Created", "Used", "Usage", "Shared"];
        out.push_str(&List { columns, table, kind: "buildCacheContext" }.text("", &[])?);
        Ok(out)
    }
}

fn usage_row(kind: &str, count: usize, active: usize, total: i64, free: i64) -> Row {
    let shown = if total > 0 { percent(free, total) } else { space(free) };
    row([
        ("Active", active.to_string().into()),
        ("Reclaimable", shown.into()),
        ("Size", space(total).into()),
        ("TotalCount", count.to_string().into()),
        ("Type", kind.into()),
    ])
}

fn space(bytes: i64) -> String {
    text::space(u64::try_from(bytes).unwrap_or(0))
}

fn percent(part: i64, whole: i64) -> String {
    format!("{} ({}%)", space(part), part.saturating_mul(100) / whole.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let usage = Usage::read(&serde_json::json!({
            "LayersSize": 2_000_000,
            "Images": [{"Id": "sha256:0123456789abcdef", "RepoTags": ["a:1"], "Size": 1_500_000, "SharedSize": 0,
                        "Containers": 1, "Created": 0}],
            "Containers": [{"Id": "0123456789abcdef", "Names": ["/n"], "Image": "a", "Command": "c", "SizeRw": 1000,
                            "State": "exited", "Status": "Exited (0)", "Created": 0}],
            "Volumes": [{"Name": "v", "UsageData": {"RefCount": 0, "Size": 5}}],
        }));
        let list = List { columns: COLUMNS, table: TABLE, kind: "diskUsageContext" };
        insta::assert_snapshot!(list.text("", &usage.rows()).unwrap());
        insta::assert_snapshot!(usage.verbose().unwrap());
    }
}

//! `berth ps`, also `container ls`.

use super::tables;
use crate::call::{Call, Outcome};
use crate::format::{Column, List, Row, filter, row};
use crate::grammar::{Arity, Command, Flag};
use crate::{format_flag, text};
use berth_client::answer::Container;
use berth_client::container::List as Query;
use berth_kit::{id, size};
use serde_json::Value;

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show all containers (default shows just running)").short('a'),
    Flag::filter("Filter output based on conditions provided").short('f'),
    format_flag::TABLE,
    Flag::int("last", "Show n last created containers (includes all states)").short('n').default("-1"),
    Flag::switch("latest", "Show the latest created container (includes all states)").short('l'),
    Flag::switch("no-trunc", "Don't truncate output"),
    Flag::switch("quiet", "Only display container IDs").short('q'),
    Flag::switch("size", "Display total file sizes").short('s'),
];

/// `berth ps`.
pub static COMMAND: Command = Command::verb("[OPTIONS]", "List containers", Arity::None, |call| Box::pin(ps(call)))
    .with(&[FLAGS])
    .at(&["container ls", "container list", "container ps", "ps"]);

/// Fields of a container's row.
pub const COLUMNS: &[Column] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("LabelMap", ""),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];
const TABLE: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
const TABLE_SIZE: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"];

async fn ps(call: Call) -> Outcome {
    let flags = &call.flags;
    let mut format = flags.text("format").to_owned();
    if format.is_empty() {
        format.clone_from(&call.config.file().ps_format);
    }
    let last = if flags.on("latest") { 1 } else { flags.int("last") };
    let query = Query {
        all: flags.on("all"),
        limit: last,
        size: flags.on("size") || format.contains(".Size") || format.contains("json .}}"),
        filters: filter::json(flags.list("filter"), &[]),
    };
    let containers = call.client()?.containers(&query).await?;
    let whole = flags.on("no-trunc");
    if flags.on("quiet") && !flags.given("format") {
        let ids: String =
            containers.iter().map(|c| format!("{}\n", if whole { c.id.as_str() } else { id::short(&c.id) })).collect();
        crate::put!("{ids}")?;
        return Ok(0);
    }
    let table = if flags.on("size") { TABLE_SIZE } else { TABLE };
    let rows: Vec<_> = containers.iter().map(|container| fields(container, whole)).collect();
    List { columns: COLUMNS, table, kind: "ContainerContext" }.print(&format, &rows)?;
    Ok(0)
}

/// The row of a container; nothing is cut when `whole`.
#[must_use]
pub fn fields(container: &Container, whole: bool) -> Row {
    let shown = |text: &str, width| if whole { text.to_owned() } else { text::ellipsis(text, width) };
    let names: Vec<_> = container.names.iter().map(|name| name.trim_start_matches('/')).collect();
    // A name with a slash inside is another container's alias for this one.
    let own: Vec<_> = if whole { names } else { names.into_iter().filter(|n| !n.contains('/')).collect() };
    let labels: Vec<_> = container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mount = |mount: &berth_client::answer::Mount| {
        shown(if mount.name.is_empty() { &mount.source } else { &mount.name }, 15)
    };
    let mounts: Vec<_> = container.mounts.iter().map(mount).collect();
    let local = container.mounts.iter().filter(|mount| mount.driver == "local").count();
    let networks: Vec<_> = container.network.networks.keys().cloned().collect();
    let short = if whole { container.id.as_str() } else { id::short(&container.id) };
    row([
        ("Command", format!("\"{}\"", shown(&container.command, 20)).into()),
        ("CreatedAt", text::created_at(container.created).into()),
        ("ID", short.into()),
        ("Image", image(container, whole).into()),
        ("LabelMap", container.labels.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect()),
        ("Labels", labels.join(",").into()),
        ("LocalVolumes", local.to_string().into()),
        ("Mounts", mounts.join(",").into()),
        ("Names", own.join(",").into()),
        ("Networks", networks.join(",").into()),
        ("Platform", Value::Null),
        ("Ports", tables::ports(&container.ports).into()),
        ("RunningFor", text::ago(container.created).into()),
        ("Size", sizes(container).into()),
        ("State", container.state.as_str().into()),
        ("Status", container.status.as_str().into()),
    ])
}

fn image(container: &Container, whole: bool) -> String {
    match container.image.as_str() {
        "" => "<no image>".to_owned(),
        image if whole => image.to_owned(),
        // An image without name is shown by the beginning of its identifier.
        image if image.strip_prefix("sha256:").is_some_and(id::is_full) => id::short(image).to_owned(),
        image if image.contains('@') => image.split('@').next().unwrap_or(image).to_owned(),
        image => image.to_owned(),
    }
}

fn sizes(container: &Container) -> String {
    let bytes = |n: i64| size::format_decimal(u64::try_from(n).unwrap_or(0));
    match container.size_root_fs {
        0 => bytes(container.size_rw),
        all => format!("{} (virtual {})", bytes(container.size_rw), bytes(all)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Container {
        serde_json::from_value(serde_json::json!({
            "Id": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "Names": ["/web", "/other/alias"], "Image": "nginx", "Command": "nginx -g 'daemon off;' && true",
            "Created": 0, "State": "running", "Status": "Up 3 seconds", "Labels": {"a": "1", "b": "2"},
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
            "Mounts": [{"Name": "data", "Driver": "local", "Type": "volume"}, {"Source": "/etc/a-very-long-name"}],
            "NetworkSettings": {"Networks": {"bridge": null}}, "SizeRw": 2, "SizeRootFs": 1500
        }))
        .unwrap()
    }

    #[test]
    fn table_and_json() {
        let list = List { columns: COLUMNS, table: TABLE_SIZE, kind: "ContainerContext" };
        insta::assert_snapshot!(list.text("", &[fields(&one(), false)]).unwrap());
        insta::assert_snapshot!(list.text("json", &[fields(&one(), false)]).unwrap());
        let template = "table {{.Names}}\\t{{.Mounts}}\\t{{.Label \"a\"}}";
        insta::assert_snapshot!(list.text(template, &[fields(&one(), true)]).unwrap());
    }
}

//! `berth volume ls`.

use crate::call::{Call, Outcome};
use crate::format::{Column, List, Row, filter, row};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use crate::text;
use berth_client::answer::Volume;

static FLAGS: &[Flag] = &[
    Flag::filter("Provide filter values (e.g. \"dangling=true\")").short('f'),
    format_flag::TABLE,
    Flag::switch("quiet", "Only display volume names").short('q'),
];

/// `berth volume ls`.
pub static COMMAND: Command = Command::verb("[OPTIONS]", "List volumes", Arity::None, |call| Box::pin(ls(call)))
    .with(&[FLAGS])
    .at(&["volume ls", "volume list"]);

const COLUMNS: &[Column] = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Availability", "AVAILABILITY"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];
const TABLE: &[&str] = &["Driver", "Name"];

async fn ls(call: Call) -> Outcome {
    let flags = &call.flags;
    let mut format = flags.text("format").to_owned();
    if format.is_empty() {
        format.clone_from(&call.config.file().volumes_format);
    }
    let listed = call.client()?.volumes(&filter::json(flags.list("filter"), &[])).await?;
    for warning in &listed.warnings {
        crate::complain!("{warning}");
    }
    let mut volumes = listed.volumes;
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    if flags.on("quiet") && !flags.given("format") {
        for volume in &volumes {
            crate::say!("{}", volume.name)?;
        }
        return Ok(0);
    }
    let rows: Vec<_> = volumes.iter().map(fields).collect();
    List { columns: COLUMNS, table: TABLE, kind: "volumeContext" }.print(&format, &rows)?;
    Ok(0)
}

fn fields(volume: &Volume) -> Row {
    let labels: Vec<_> = volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let usage = volume.usage.as_ref();
    let links = usage.map_or_else(|| "N/A".to_owned(), |usage| usage.containers.to_string());
    let size = usage.and_then(|usage| u64::try_from(usage.size_bytes).ok());
    row([
        // Of volumes of a cluster.
        ("Availability", "N/A".into()),
        ("Driver", volume.driver.as_str().into()),
        ("Group", "N/A".into()),
        ("Labels", labels.join(",").into()),
        ("Links", links.into()),
        ("Mountpoint", volume.mountpoint.as_str().into()),
        ("Name", volume.name.as_str().into()),
        ("Scope", volume.scope.as_str().into()),
        ("Size", size.map_or_else(|| "N/A".to_owned(), text::space).into()),
        ("Status", "N/A".into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let volume = Volume {
            name: "data".into(),
            driver: "local".into(),
            mountpoint: "/volumes/data/_data".into(),
            scope: "local".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..Volume::default()
        };
        let rows = [fields(&volume)];
        let list = List { columns: COLUMNS, table: TABLE, kind: "volumeContext" };
        assert_eq!(list.text("", &rows).unwrap(), "DRIVER    VOLUME NAME\nlocal     data\n");
        assert_eq!(list.text("{{.Name}} {{.Labels}} {{.Links}} {{.Size}}", &rows).unwrap(), "data a=b N/A N/A\n");
        let json = list.text("json", &rows).unwrap();
        assert!(json.contains(r#""Mountpoint":"/volumes/data/_data""#) && json.contains(r#""Availability":"N/A""#));
    }
}

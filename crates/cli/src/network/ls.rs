//! `berth network ls`.

use crate::call::{Call, Outcome};
use crate::format::{Column, List, Row, filter, row};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use berth_client::answer::Network;
use berth_kit::id;

static FLAGS: &[Flag] = &[
    Flag::filter("Provide filter values (e.g. \"driver=bridge\")").short('f'),
    format_flag::TABLE,
    Flag::switch("no-trunc", "Do not truncate the output"),
    Flag::switch("quiet", "Only display network IDs").short('q'),
];

/// `berth network ls`.
pub static COMMAND: Command = Command::verb("[OPTIONS]", "List networks", Arity::None, |call| Box::pin(ls(call)))
    .with(&[FLAGS])
    .at(&["network ls", "network list"]);

const COLUMNS: &[Column] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];
const TABLE: &[&str] = &["ID", "Name", "Driver", "Scope"];

async fn ls(call: Call) -> Outcome {
    let flags = &call.flags;
    let mut format = flags.text("format").to_owned();
    if format.is_empty() {
        format.clone_from(&call.config.file().networks_format);
    }
    let mut networks = call.client()?.networks(&filter::json(flags.list("filter"), &[])).await?;
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    let whole = flags.on("no-trunc");
    if flags.on("quiet") && !flags.given("format") {
        for network in &networks {
            crate::say!("{}", if whole { network.id.as_str() } else { id::short(&network.id) })?;
        }
        return Ok(0);
    }
    let rows: Vec<_> = networks.iter().map(|network| fields(network, whole)).collect();
    List { columns: COLUMNS, table: TABLE, kind: "networkContext" }.print(&format, &rows)?;
    Ok(0)
}

fn fields(network: &Network, whole: bool) -> Row {
    let labels: Vec<_> = network.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    row([
        ("CreatedAt", created(&network.created).into()),
        ("Driver", network.driver.as_str().into()),
        ("ID", if whole { network.id.as_str() } else { id::short(&network.id) }.into()),
        ("IPv4", network.ipv4.to_string().into()),
        ("IPv6", network.ipv6.to_string().into()),
        ("Internal", network.internal.to_string().into()),
        ("Labels", labels.join(",").into()),
        ("Name", network.name.as_str().into()),
        ("Scope", network.scope.as_str().into()),
    ])
}

/// `2026-01-02 03:04:05.678 +0000 UTC`, as Go prints the time.
fn created(wire: &str) -> String {
    let Some(plain) = wire.strip_suffix('Z') else { return wire.to_owned() };
    format!("{} +0000 UTC", plain.replacen('T', " ", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let network = Network {
            id: "0123456789abcdef0123456789abcdef".into(),
            name: "front".into(),
            driver: "bridge".into(),
            scope: "local".into(),
            ipv4: true,
            created: "2026-01-02T03:04:05.678Z".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..Network::default()
        };
        let rows = [fields(&network, false)];
        let list = List { columns: COLUMNS, table: TABLE, kind: "networkContext" };
        insta::assert_snapshot!(list.text("", &rows).unwrap());
        insta::assert_snapshot!(list.text("json", &rows).unwrap());
    }
}

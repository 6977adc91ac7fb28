//! `berth port`.

use super::tables;
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command};
use serde_json::Value;

/// `berth port`.
pub static COMMAND: Command = Command::verb(
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    Arity::Between(1, 2),
    |call| Box::pin(port(call)),
)
.at(&["container port", "port"]);

async fn port(call: Call) -> Outcome {
    let name = &call.args[0];
    let container = call.client()?.inspect_container(name, false).await?;
    let mut published = published(&container["NetworkSettings"]["Ports"]);
    let Some(wanted) = call.args.get(1) else {
        published.sort_by_key(|(port, address)| (number(port), port.clone(), address.clone()));
        for (port, address) in published {
            crate::say!("{port} -> {address}")?;
        }
        return Ok(0);
    };
    let (digits, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    if digits.parse::<u16>().is_err() {
        return Err(Failure::new(format!(
            "Error: invalid port ({digits}): strconv.ParseUint: parsing {digits:?}: invalid syntax"
        )));
    }
    let key = format!("{digits}/{protocol}");
    let addresses: Vec<_> = published.iter().filter(|(port, _)| *port == key).collect();
    if addresses.is_empty() {
        return Err(Failure::new(format!("Error: No public port '{wanted}' published for {name}")));
    }
    for (_, address) in addresses {
        crate::say!("{address}")?;
    }
    Ok(0)
}

fn number(port: &str) -> u16 {
    port.split('/').next().and_then(|p| p.parse().ok()).unwrap_or(0)
}

/// `80/tcp` with the host address of each of its bindings.
fn published(ports: &Value) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (port, bindings) in ports.as_object().into_iter().flatten() {
        for binding in bindings.as_array().into_iter().flatten() {
            let host = binding["HostPort"].as_str().and_then(|p| p.parse().ok()).unwrap_or(0);
            list.push((port.clone(), tables::address(binding["HostIp"].as_str().unwrap_or(""), host)));
        }
    }
    list
}

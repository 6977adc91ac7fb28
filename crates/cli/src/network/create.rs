//! `berth network create`.

use super::ipam;
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag, Flags};
use crate::option::label::{self, check_label};
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[
    Flag::switch("attachable", "Enable manual container attachment"),
    Flag::map("aux-address", "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
    Flag::text("config-from", "The network from which to copy the configuration"),
    Flag::switch("config-only", "Create a configuration only network"),
    Flag::text("driver", "Driver to manage the Network").short('d').default("bridge"),
    Flag::list("gateway", "IPv4 or IPv6 Gateway for the master subnet").value("strings"),
    Flag::switch("internal", "Restrict external access to the network"),
    Flag::list("ip-range", "Allocate container ip from a sub-range").value("strings"),
    Flag::text("ipam-driver", "IP Address Management Driver").default("default"),
    Flag::map("ipam-opt", "Set IPAM driver specific options"),
    Flag::switch("ipv4", "Enable or disable IPv4 address assignment").default("true"),
    Flag::switch("ipv6", "Enable or disable IPv6 address assignment"),
    Flag::list("label", "Set metadata on a network").check(check_label),
    Flag::map("opt", "Set driver specific options").short('o'),
    Flag::text("scope", "Control the network's scope").hidden(),
    Flag::list("subnet", "Subnet in CIDR format that represents a network segment").value("strings"),
];

/// `berth network create`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] NETWORK", "Create a network", Arity::Exactly(1), |call| Box::pin(create(call)))
        .with(&[FLAGS]);

async fn create(call: Call) -> Outcome {
    let body = body(&call.args[0], &call.flags).map_err(Failure::new)?;
    let created = call.client()?.create_network(&body).await?;
    crate::say!("{}", created.id)?;
    Ok(0)
}

fn body(name: &str, flags: &Flags) -> Result<Value, String> {
    let split = |name| -> Vec<String> {
        flags.list(name).flat_map(|text: &str| text.split(',')).map(|text| text.trim().to_owned()).collect()
    };
    let reserved = label::object(flags.list("aux-address"));
    let config = ipam::config(&split("subnet"), &split("ip-range"), &split("gateway"), &reserved)?;
    let mut body = json!({
        "Name": name,
        "Driver": flags.text("driver"),
        "Internal": flags.on("internal"),
        "Attachable": flags.on("attachable"),
        "Options": label::object(flags.list("opt")),
        "Labels": label::object(flags.list("label")),
        "IPAM": {
            "Driver": flags.text("ipam-driver"),
            "Options": label::object(flags.list("ipam-opt")),
            "Config": config,
        },
    });
    for (flag, key) in [("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")] {
        if flags.given(flag) {
            body[key] = json!(flags.on(flag));
        }
    }
    if flags.on("config-only") {
        body["ConfigOnly"] = json!(true);
    }
    if flags.given("config-from") {
        body["ConfigFrom"] = json!({"Network": flags.text("config-from")});
    }
    if flags.given("scope") {
        body["Scope"] = json!(flags.text("scope"));
    }
    Ok(body)
}

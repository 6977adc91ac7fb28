//! `berth network connect`.

use crate::call::{Call, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::option::label;
use crate::option::network::Attachment;

static FLAGS: &[Flag] = &[
    Flag::list("alias", "Add network-scoped alias for the container").value("strings"),
    Flag::list("driver-opt", "driver options for the network").value("strings"),
    Flag::int("gw-priority", "Highest gw-priority provides the default gateway. Accepts positive and negative values"),
    Flag::text("ip", "IPv4 address (e.g., \"172.30.100.104\")"),
    Flag::text("ip6", "IPv6 address (e.g., \"2001:db8::33\")"),
    Flag::list("link", "Add link to another container"),
    Flag::list("link-local-ip", "Add a link-local address for the container").value("strings"),
];

/// `berth network connect`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] NETWORK CONTAINER", "Connect a container to a network", Arity::Exactly(2), |call| {
        Box::pin(connect(call))
    })
    .with(&[FLAGS]);

async fn connect(call: Call) -> Outcome {
    let flags = &call.flags;
    let split = |name| flags.list(name).flat_map(|text: &str| text.split(',')).map(str::to_owned).collect();
    let attachment = Attachment {
        target: call.args[0].clone(),
        aliases: split("alias"),
        driver_options: label::object(flags.list("driver-opt")),
        ipv4: flags.text("ip").to_owned(),
        ipv6: flags.text("ip6").to_owned(),
        link_local: split("link-local-ip"),
        links: flags.strings("link"),
        gateway_priority: if flags.given("gw-priority") { flags.int("gw-priority") } else { 0 },
        ..Attachment::default()
    };
    call.client()?.connect_network(&call.args[0], &call.args[1], &attachment.endpoint()).await?;
    Ok(0)
}

//! `berth vm create`.

use super::{disk, nic};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::text;
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[
    Flag::switch("autostart", "Start it with the daemon"),
    Flag::bytes("balloon", "What the balloon leaves to the guest of its memory"),
    Flag::list("boot", "What the firmware boots from, first things first (\"disk\", \"cdrom\", \"network\")"),
    Flag::list("cdrom", "Add a CD-ROM with this image of the daemon's host").value("path"),
    Flag::text("cmdline", "Command line of the kernel"),
    Flag::text("cpu", "Model of the processor (\"host\", \"max\", or a name with features: \"EPYC,+svm\")")
        .default("max"),
    Flag::list("disk", disk::HELP),
    Flag::text("initrd", "Initramfs beside the kernel, at the daemon's host").value("path"),
    Flag::text("kernel", "Boot this kernel of the daemon's host, past the firmware").value("path"),
    Flag::bytes("memory", "Memory").short('m').default("1g"),
    Flag::text("meta-data", "File for cloud-init's meta-data").value("file"),
    Flag::list("network", nic::HELP),
    Flag::text("network-config", "File for cloud-init's network-config").value("file"),
    Flag::list("pci", "Pass a PCI device of the host through (\"0000:01:00.0\")").value("address"),
    Flag::text("user-data", "File for cloud-init's user-data").value("file"),
    Flag::int("vcpus", "Processors").default("1"),
    Flag::switch("video", "Add a display adapter, for boot loaders that want one"),
];

/// `berth vm create`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] NAME", "Create a virtual machine of its own", Arity::Exactly(1), |call| {
        Box::pin(create(call))
    })
    .with(&[FLAGS]);

async fn create(call: Call) -> Outcome {
    let body = body(&call)?;
    let made = call.client()?.create_machine(&body).await?;
    crate::say!("{}", made["Name"].as_str().unwrap_or_default())?;
    Ok(0)
}

fn body(call: &Call) -> Result<Value, Failure> {
    let flags = &call.flags;
    let (mut disks, mut fills) = (Vec::new(), Vec::new());
    for (index, line) in flags.list("disk").enumerate() {
        let (disk, fill) = disk::parse(line, index).map_err(Failure::new)?;
        disks.push(disk);
        fills.extend(fill);
    }
    disks.extend(flags.list("cdrom").enumerate().map(|(index, path)| disk::cdrom(path, index)));
    let networks: Result<Vec<Value>, String> = flags.list("network").map(nic::parse).collect();
    let mut definition = json!({
        "name": call.args[0],
        "vcpus": flags.int("vcpus"),
        "memory_bytes": flags.bytes("memory"),
        "cpu": flags.text("cpu"),
        "autostart": flags.on("autostart"),
        "video": if flags.on("video") { "std" } else { "none" },
        "boot": {"command_line": flags.text("cmdline"), "order": flags.strings("boot")},
        "disks": disks,
        "networks": networks.map_err(Failure::new)?,
        "pci": flags.strings("pci"),
    });
    for (key, flag) in [("kernel", "kernel"), ("initramfs", "initrd")] {
        if flags.given(flag) {
            definition["boot"][key] = flags.text(flag).into();
        }
    }
    if flags.given("balloon") {
        definition["balloon_bytes"] = flags.bytes("balloon").into();
    }
    if let Some(seed) = seed(call)? {
        definition["cloud_init"] = seed;
    }
    Ok(json!({"definition": definition, "files": fills}))
}

fn seed(call: &Call) -> Result<Option<Value>, Failure> {
    let mut seed = json!({});
    for (key, flag) in [("user_data", "user-data"), ("meta_data", "meta-data"), ("network_config", "network-config")] {
        if call.flags.given(flag) {
            let path = call.flags.text(flag);
            let text = std::fs::read_to_string(path);
            seed[key] = text.map_err(|e| Failure::new(format!("read {path}: {}", text::os(&e))))?.into();
        }
    }
    Ok(seed.as_object().is_some_and(|seed| !seed.is_empty()).then_some(seed))
}

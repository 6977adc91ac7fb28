//! Edits made to a runtime specification, as JSON: the CDI specification's "OCI Edits".

use rustix::fs::FileType;
use serde_json::{Map, Value, json};

use crate::{
    ContainerEdits, Error, Result,
    format::{DeviceNode, Hook, IntelRdt, Mount},
};

/// Makes edits to a specification.
///
/// # Errors
/// [`Error::Device`] for a device node that this host does not have.
pub fn apply(edits: &ContainerEdits, spec: &mut Value) -> Result<()> {
    for entry in &edits.env {
        let name = entry.split('=').next().unwrap_or(entry);
        let taken = |old: &Value| old.as_str().and_then(|old| old.split('=').next()) == Some(name);
        put(list(&mut spec["process"], "env"), taken, json!(entry));
    }
    for node in &edits.device_nodes {
        let (device, rule) = device(node)?;
        put(list(&mut spec["linux"], "devices"), |old| old["path"] == device["path"], device.clone());
        list(&mut spec["linux"]["resources"], "devices").push(rule);
    }
    let mut mounts: Vec<_> = edits.mounts.iter().collect();
    // Parents before children.
    mounts.sort_by_key(|mount| mount.container_path.matches('/').count());
    for mount in mounts {
        let taken = |old: &Value| old["destination"] == mount.container_path.as_str();
        list(spec, "mounts").retain(|old| !taken(old));
        list(spec, "mounts").push(bind(mount));
    }
    for one in &edits.hooks {
        list(&mut spec["hooks"], one.hook_name.as_str()).push(hook(one));
    }
    if let Some(wanted) = &edits.intel_rdt {
        spec["linux"]["intelRdt"] = rdt(wanted);
    }
    for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
        put(list(&mut spec["process"]["user"], "additionalGids"), |old| *old == json!(gid), json!(gid));
    }
    for interface in &edits.net_devices {
        spec["linux"]["netDevices"][&interface.host_interface_name] = json!({"name": interface.name});
    }
    Ok(())
}

/// The list of that name, made where there is none.
fn list<'a>(object: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if !object[key].is_array() {
        object[key] = Value::Array(Vec::new());
    }
    match &mut object[key] {
        Value::Array(list) => list,
        _ => unreachable!("it was made a list above"),
    }
}

/// In the place of what it replaces, or at the end.
fn put(list: &mut Vec<Value>, replaces: impl Fn(&Value) -> bool, value: Value) {
    match list.iter_mut().find(|old| replaces(old)) {
        Some(old) => *old = value,
        None => list.push(value),
    }
}

/// The node, and the rule that lets the container use it.
fn device(node: &DeviceNode) -> Result<(Value, Value)> {
    let source = node.host_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&node.path);
    let failed = |why: &str| Error::Device { path: source.to_owned(), why: why.to_owned() };
    let stat = rustix::fs::stat(source);
    let given = node.r#type.as_deref().filter(|kind| !kind.is_empty());
    let (kind, major, minor, mode) = match (given, node.major.filter(|major| *major != 0), stat) {
        // Told in full; the host need not have a node of its own.
        (Some(kind @ ("b" | "c" | "u")), Some(major), stat) => {
            (kind, major, node.minor.unwrap_or(0), stat.ok().map(|stat| stat.st_mode))
        }
        (Some("p"), _, stat) => ("p", 0, 0, stat.ok().map(|stat| stat.st_mode)),
        (given, _, Ok(stat)) => {
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::CharacterDevice => "c",
                FileType::BlockDevice => "b",
                FileType::Fifo => "p",
                _ => return Err(failed("not a device node")),
            };
            if given.is_some_and(|given| given != kind && !(given == "u" && kind == "c")) {
                return Err(failed("the host's device node is of another type than its description says"));
            }
            let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            (kind, i64::from(major), i64::from(minor), Some(stat.st_mode))
        }
        (_, _, Err(errno)) => return Err(failed(&errno.to_string())),
    };
    let mut device = json!({
        "path": node.path, "type": kind, "major": major, "minor": minor,
        "uid": node.uid.unwrap_or(0), "gid": node.gid.unwrap_or(0),
    });
    if let Some(mode) = node.file_mode.or(mode) {
        device["fileMode"] = json!(mode & 0o7777);
    }
    let access = node.permissions.as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    let rule = match kind {
        "p" => json!({"allow": true, "type": "c", "access": "m"}),
        kind => {
            json!({"allow": true, "type": if kind == "u" { "c" } else { kind }, "major": major, "minor": minor, "access": access})
        }
    };
    Ok((device, rule))
}

fn bind(mount: &Mount) -> Value {
    let kind = mount.r#type.as_deref().filter(|kind| !kind.is_empty());
    let mut options = mount.options.clone();
    let binds = |option: &String| matches!(option.as_str(), "bind" | "rbind");
    if kind.is_none_or(|kind| kind == "bind") && !options.iter().any(binds) {
        options.push("rbind".to_owned());
    }
    json!({
        "destination": mount.container_path,
        "source": mount.host_path,
        "type": kind.unwrap_or("bind"),
        "options": options,
    })
}

fn hook(hook: &Hook) -> Value {
    let mut value = json!({"path": hook.path, "args": hook.args, "env": hook.env});
    if let Some(timeout_s) = hook.timeout {
        value["timeout"] = json!(timeout_s);
    }
    value
}

fn rdt(wanted: &IntelRdt) -> Value {
    let mut value = Value::Object(Map::new());
    for (key, text) in [
        ("closID", &wanted.clos_id),
        ("l3CacheSchema", &wanted.l3_cache_schema),
        ("memBwSchema", &wanted.mem_bw_schema),
    ] {
        if let Some(text) = text {
            value[key] = json!(text);
        }
    }
    if !wanted.schemata.is_empty() {
        value["schemata"] = json!(wanted.schemata);
    }
    for (key, on) in [
        ("enableMonitoring", wanted.enable_monitoring),
        ("enableCMT", wanted.enable_cmt),
        ("enableMBM", wanted.enable_mbm),
    ] {
        if on {
            value[key] = json!(true);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(value: Value) -> ContainerEdits {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn each_kind_of_edit_reaches_its_place() {
        let mut spec = json!({
            "process": {"env": ["PATH=/bin", "A=old"], "user": {"uid": 0, "gid": 0}},
            "mounts": [{"destination": "/usr/lib/x", "type": "bind", "source": "/old"}],
            "linux": {"resources": {"devices": [{"allow": false, "access": "rwm"}]}},
        });
        let wanted = edits(json!({
            "env": ["A=new", "B=2"],
            "deviceNodes": [{"path": "/dev/nothing", "hostPath": "/dev/null", "permissions": "rw"}],
            "mounts": [
                {"hostPath": "/lib/y", "containerPath": "/usr/lib/x/y", "options": ["ro"]},
                {"hostPath": "/lib/x", "containerPath": "/usr/lib/x", "options": ["ro", "bind"]},
            ],
            "hooks": [{"hookName": "createContainer", "path": "/bin/ldconfig", "args": ["ldconfig"], "timeout": 3}],
            "additionalGids": [44, 0, 44],
            "netDevices": [{"hostInterfaceName": "eth7", "name": "eth0"}],
            "intelRdt": {"closID": "gold", "enableMonitoring": true},
        }));
        apply(&wanted, &mut spec).unwrap();
        assert_eq!(spec["process"]["env"], json!(["PATH=/bin", "A=new", "B=2"]));
        assert_eq!(spec["process"]["user"]["additionalGids"], json!([44]));
        let device = &spec["linux"]["devices"][0];
        assert_eq!(
            (&device["path"], &device["major"], &device["minor"]),
            (&json!("/dev/nothing"), &json!(1), &json!(3))
        );
        let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"});
        assert_eq!(spec["linux"]["resources"]["devices"][1], rule);
        let mounted: Vec<_> = spec["mounts"].as_array().unwrap().iter().map(|mount| &mount["source"]).collect();
        assert_eq!(mounted, ["/lib/x", "/lib/y"]);
        assert_eq!(spec["mounts"][1]["options"], json!(["ro", "rbind"]));
        assert_eq!(spec["hooks"]["createContainer"][0]["timeout"], 3);
        assert_eq!(spec["linux"]["netDevices"], json!({"eth7": {"name": "eth0"}}));
        assert_eq!(spec["linux"]["intelRdt"], json!({"closID": "gold", "enableMonitoring": true}));
    }

    #[test]
    fn a_node_that_is_not_there_is_named() {
        for (node, why) in [
            (json!({"path": "/dev/none-such"}), "/dev/none-such"),
            (json!({"path": "/dev/x", "hostPath": "/etc"}), "not a device node"),
            (json!({"path": "/dev/null", "type": "b"}), "another type"),
        ] {
            let said = apply(&edits(json!({"deviceNodes": [node]})), &mut json!({})).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
        let told = edits(json!({"deviceNodes": [{"path": "/dev/none-such", "type": "c", "major": 195, "minor": 255}]}));
        assert!(apply(&told, &mut json!({})).is_ok());
    }
}

//! `--network`: fields of one record into a network device of the definition.

use crate::option::csv;
use serde_json::{Value, json};

/// What help says of `--network`.
pub const HELP: &str = "Add a network device (\"NETWORK\", or \"user\" for QEMU's own; with mac=, ip=, port=[ADDRESS:]PORT:PORT[/udp], model=virtio|e1000e)";

/// The network device of a record.
///
/// # Errors
/// The field that is wrong.
pub fn parse(line: &str) -> Result<Value, String> {
    let mut nic = json!({});
    let mut ports = Vec::new();
    for (index, field) in csv::fields(line)?.into_iter().enumerate() {
        match field.split_once('=') {
            None if index == 0 && field == "user" => nic["user"] = true.into(),
            None if index == 0 && !field.is_empty() => nic["network"] = field.into(),
            Some(("mac", value)) => nic["mac"] = value.into(),
            Some(("ip", value)) => nic["ipv4"] = value.into(),
            Some(("model", value)) => nic["model"] = value.into(),
            Some(("port", value)) => ports.push(value.to_owned()),
            _ => return Err(format!("invalid --network {line:?}: unknown field {field:?}")),
        }
    }
    if !ports.is_empty() {
        nic["ports"] = json!(ports);
    }
    Ok(nic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_devices() {
        assert_eq!(parse("bridge").unwrap(), json!({"network": "bridge"}));
        let nic = parse("user,port=127.0.0.1:2222:22,port=80:80,model=e1000e").unwrap();
        assert_eq!(nic, json!({"user": true, "model": "e1000e", "ports": ["127.0.0.1:2222:22", "80:80"]}));
        assert!(parse("").is_err() && parse("a,b").is_err() && parse("a,b=c").is_err());
    }
}

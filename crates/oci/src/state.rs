//! `state`: what is known of a container, as JSON.

use serde_json::{Value, json};

use crate::grammar::Command;
use crate::record::{Record, Status};
use crate::store::{Place, Store};

/// See the module.
pub static COMMAND: Command = Command {
    name: "state",
    arguments: "ID",
    about: "print the state of a container",
    flags: &[],
    arity: (1, 1),
    run: |call| {
        let (place, record) = Store::new(&call.global.root).find(call.id())?;
        println!("{:#}", shown(&place, &record));
        Ok(0)
    },
};

/// The specification's state with runc's additions.
pub fn shown(place: &Place, record: &Record) -> Value {
    let status = record.status(place);
    let mut state = json!({
        "ociVersion": crate::SPEC_VERSION,
        "id": record.id,
        "pid": if status == Status::Stopped { 0 } else { record.pid },
        "status": status.word(),
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created.to_string(),
        "owner": record.owner,
    });
    if let Some(annotations) = &record.annotations {
        state["annotations"] = json!(annotations);
    }
    state
}

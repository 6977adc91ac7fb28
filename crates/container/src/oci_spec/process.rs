//! The first process: arguments, environment, user, limits.

use berth_runtime::label;
use serde_json::{Value, json};

use super::{Input, SecurityOptions};
use crate::record::Record;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The `process` object.
pub fn build(input: &Input, capabilities: &Value, security: &SecurityOptions) -> Value {
    let record = input.record;
    let tty = record.tty();
    let mut process = json!({
        "terminal": tty,
        "user": user(record.config.user.as_deref().unwrap_or("")),
        "args": record.command(),
        "env": environment(input),
        "cwd": working_dir(record.config.working_dir.as_deref()),
        "capabilities": capabilities,
        "rlimits": rlimits(input),
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": record.host.oom_score_adj.unwrap_or(0),
    });
    if let (true, Some((rows, columns))) = (tty, input.console) {
        process["consoleSize"] = json!({"height": rows, "width": columns});
    }
    // As with Docker, a label for a module that the kernel does not have is no wall, and no obstacle.
    if let Some(profile) = security.apparmor.as_ref().filter(|_| label::has_apparmor()) {
        process["apparmorProfile"] = json!(profile);
    }
    if let Some(label) = security.selinux.as_ref().filter(|_| label::has_selinux()) {
        process["selinuxLabel"] = json!(label);
    }
    process
}

/// The user as written: names are looked up inside the container, by the runtime.
pub fn user(user: &str) -> Value {
    json!({"uid": 0, "gid": 0, "username": user})
}

/// A working directory that is never empty.
pub fn working_dir(dir: Option<&str>) -> &str {
    dir.filter(|dir| !dir.is_empty()).unwrap_or("/")
}

fn environment(input: &Input) -> Vec<String> {
    exec_environment(input.record, input.record.tty(), input.linked, &[])
}

/// The container's environment, `linked` entries beneath it and `extra` ones on top; a name without value removes the
/// variable.
pub fn exec_environment(record: &Record, tty: bool, linked: &[String], extra: &[String]) -> Vec<String> {
    let mut env = vec![PATH.to_owned()];
    if let Some(hostname) = record.config.hostname.as_deref().filter(|name| !name.is_empty()) {
        env.push(format!("HOSTNAME={hostname}"));
    }
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    for entry in linked.iter().chain(record.config.env.iter().flatten()).chain(extra) {
        let name = entry.split('=').next().unwrap_or(entry);
        env.retain(|taken| taken.split('=').next() != Some(name));
        if entry.contains('=') {
            env.push(entry.clone());
        }
    }
    env
}

fn rlimits(input: &Input) -> Value {
    let own = input.record.host.ulimits.as_deref().unwrap_or(&[]);
    let named = |name: &Option<String>| name.as_deref().unwrap_or("").to_ascii_lowercase();
    let defaults =
        input.config.ulimits.iter().filter(|limit| !own.iter().any(|o| named(&o.name) == named(&limit.name)));
    let bound = |value: Option<i64>| value.map_or(0, |value| if value < 0 { u64::MAX } else { value.unsigned_abs() });
    let entry = |limit: &berth_spec::model::ResourcesUlimits| {
        json!({
            "type": format!("RLIMIT_{}", named(&limit.name).to_ascii_uppercase()),
            "soft": bound(limit.soft),
            "hard": bound(limit.hard),
        })
    };
    own.iter().chain(defaults).map(entry).collect()
}

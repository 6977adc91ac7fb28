//! `berth info`.

use crate::call::{Call, Failure, Outcome};
use crate::format::template::Template;
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use berth_kit::size;
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[format_flag::PLAIN.short('f')];

/// `berth info`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Display system-wide information", Arity::None, |call| Box::pin(info(call)))
        .with(&[FLAGS])
        .at(&["system info", "info"]);

async fn info(call: Call) -> Outcome {
    let answer = call.client().map(|client| async { client.info().await });
    let answer = match answer {
        Ok(future) => future.await.map_err(Failure::from),
        Err(e) => Err(e),
    };
    let format = call.flags.text("format");
    if format.is_empty() {
        crate::put!("{}", client_text(&call))?;
        return match answer {
            Ok(info) => {
                crate::put!("{}", server_text(&info))?;
                for warning in info["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    crate::complain!("{warning}");
                }
                Ok(0)
            }
            Err(failure) => {
                crate::say!()?;
                Err(Failure::new(format!("{}\nerrors pretty printing info", failure.text)))
            }
        };
    }
    let mut whole = answer?;
    if let Some(fields) = whole.as_object_mut() {
        fields.insert("ClientInfo".into(), client_json(&call));
    }
    crate::say!("{}", single(format, &whole)?)?;
    Ok(0)
}

/// One thing in a template.
///
/// # Errors
/// Docker's text, exit code 64 when the template cannot be read.
pub fn single(format: &str, value: &Value) -> Result<String, Failure> {
    let source = if format == "json" { "{{json .}}" } else { format };
    let template =
        Template::new(source).map_err(|e| Failure { text: format!("template parsing error: {e}"), code: 64 })?;
    template.run(value).map_err(|e| {
        Failure::new(match e {
            crate::format::template::Error::Missing(key) => {
                let place = crate::format::template::place(source, &key);
                format!("template: {place}: can't evaluate field {key}")
            }
            other => other.to_string(),
        })
    })
}

fn client_json(call: &Call) -> Value {
    json!({
        "Debug": call.global.on("debug"),
        "Version": env!("CARGO_PKG_VERSION"),
        "Os": "linux",
        "Arch": std::env::consts::ARCH,
        "Context": "default",
        "Plugins": [],
        "Warnings": null,
    })
}

fn client_text(call: &Call) -> String {
    let debug = call.global.on("debug");
    format!("Client:\n Version:    {}\n Debug Mode: {debug}\n\nServer:\n", env!("CARGO_PKG_VERSION"))
}

/// A line, if the daemon says anything of `key`.
fn line(out: &mut String, info: &Value, key: &str, label: &str) {
    let text = match &info[key] {
        Value::Null => return,
        Value::String(text) if text.is_empty() => return,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    out.push_str(&format!(" {label}: {text}\n"));
}

fn words(value: &Value) -> String {
    let words: Vec<_> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    words.join(" ")
}

fn server_text(info: &Value) -> String {
    let mut out = String::new();
    line(&mut out, info, "Containers", "Containers");
    for (key, label) in
        [("ContainersRunning", " Running"), ("ContainersPaused", " Paused"), ("ContainersStopped", " Stopped")]
    {
        line(&mut out, info, key, label);
    }
    line(&mut out, info, "Images", "Images");
    line(&mut out, info, "ServerVersion", "Server Version");
    line(&mut out, info, "Driver", "Storage Driver");
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        let text = |at: usize| pair[at].as_str().unwrap_or("").to_owned();
        out.push_str(&format!("  {}: {}\n", text(0), text(1)));
    }
    line(&mut out, info, "LoggingDriver", "Logging Driver");
    line(&mut out, info, "CgroupDriver", "Cgroup Driver");
    line(&mut out, info, "CgroupVersion", "Cgroup Version");
    out.push_str(" Plugins:\n");
    for (key, label) in [("Volume", "Volume"), ("Network", "Network"), ("Log", "Log")] {
        let list = words(&info["Plugins"][key]);
        if !list.is_empty() {
            out.push_str(&format!("  {label}: {list}\n"));
        }
    }
    out.push_str(&format!(" Swarm: {}\n", info["Swarm"]["LocalNodeState"].as_str().unwrap_or("inactive")));
    runtime_text(&mut out, info);
    security_text(&mut out, info);
    machine_text(&mut out, info);
    out
}

fn runtime_text(out: &mut String, info: &Value) {
    let runtimes: Vec<_> = info["Runtimes"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if !runtimes.is_empty() {
        out.push_str(&format!(" Runtimes: {}\n", runtimes.join(" ")));
    }
    line(out, info, "DefaultRuntime", "Default Runtime");
    line(out, info, "InitBinary", "Init Binary");
    for (key, label) in
        [("ContainerdCommit", "containerd version"), ("RuncCommit", "runc version"), ("InitCommit", "init version")]
    {
        if let Some(id) = info[key]["ID"].as_str() {
            out.push_str(&format!(" {label}: {id}\n"));
        }
    }
}

/// `name=seccomp,profile=builtin` as a name with lines of its own.
fn security_text(out: &mut String, info: &Value) {
    let options: Vec<_> = info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if options.is_empty() {
        return;
    }
    out.push_str(" Security Options:\n");
    for option in options {
        for (at, pair) in option.split(',').enumerate() {
            let (key, value) = pair.split_once('=').unwrap_or(("name", pair));
            match at {
                0 => out.push_str(&format!("  {value}\n")),
                _ => {
                    let mut letters = key.chars();
                    let title: String =
                        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
                    out.push_str(&format!("   {title}: {value}\n"));
                }
            }
        }
    }
}

fn machine_text(out: &mut String, info: &Value) {
    for (key, label) in [
        ("KernelVersion", "Kernel Version"),
        ("OperatingSystem", "Operating System"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("NCPU", "CPUs"),
    ] {
        line(out, info, key, label);
    }
    if let Some(bytes) = info["MemTotal"].as_u64() {
        out.push_str(&format!(" Total Memory: {}\n", size::format_binary(bytes)));
    }
    for (key, label) in [
        ("Name", "Name"),
        ("ID", "ID"),
        ("DockerRootDir", "Docker Root Dir"),
        ("Debug", "Debug Mode"),
        ("HttpProxy", "HTTP Proxy"),
        ("HttpsProxy", "HTTPS Proxy"),
        ("NoProxy", "No Proxy"),
    ] {
        line(out, info, key, label);
    }
    let labels = info["Labels"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !labels.is_empty() {
        out.push_str(" Labels:\n");
        out.extend(labels.iter().filter_map(Value::as_str).map(|label| format!("  {label}\n")));
    }
    line(out, info, "ExperimentalBuild", "Experimental");
    let registries = &info["RegistryConfig"];
    out.push_str(" Insecure Registries:\n");
    let by_name = registries["IndexConfigs"].as_object().into_iter().flatten();
    for (name, _) in by_name.filter(|(_, config)| config["Secure"] == Value::Bool(false)) {
        out.push_str(&format!("  {name}\n"));
    }
    for range in registries["InsecureRegistryCIDRs"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.push_str(&format!("  {range}\n"));
    }
    let mirrors = words(&registries["Mirrors"]);
    if !mirrors.is_empty() {
        out.push_str(" Registry Mirrors:\n");
        out.extend(mirrors.split(' ').map(|mirror| format!("  {mirror}\n")));
    }
    line(out, info, "LiveRestoreEnabled", "Live Restore Enabled");
    line(out, info, "ProductLicense", "Product License");
    out.push('\n');
}

//! `berth version`.

use super::info::single;
use crate::call::{Call, Failure, Outcome};
use crate::format_flag;
use crate::grammar::{Arity, Command, Flag};
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[format_flag::PLAIN.short('f')];

/// `berth version`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Show the berth version information", Arity::None, |call| Box::pin(version(call)))
        .with(&[FLAGS]);

async fn version(call: Call) -> Outcome {
    let (answer, api) = match call.client() {
        Ok(client) => (client.version().await.map_err(Failure::from), client.api_version()),
        Err(e) => (Err(e), berth_spec::API_VERSION.to_owned()),
    };
    let client = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": api,
        "DefaultAPIVersion": berth_spec::API_VERSION,
        "Os": "linux",
        "Arch": arch(),
        "Context": "default",
    });
    let format = call.flags.text("format");
    if !format.is_empty() {
        let mut shown = json!({"Client": client, "Server": answer.as_ref().cloned_or_null()});
        if format != "json" {
            name_as_in_go(&mut shown);
        }
        crate::say!("{}", single(format, &shown)?)?;
        return answer.map(|_| 0);
    }
    crate::put!("{}", client_text(&client))?;
    let server = answer?;
    crate::put!("\n{}", server_text(&server))?;
    Ok(0)
}

/// Templates were written against the fields of Docker's own program, of which one is spelled otherwise in JSON.
fn name_as_in_go(shown: &mut Value) {
    for side in ["Client", "Server"] {
        let version = shown[side]["ApiVersion"].clone();
        if let Some(fields) = shown[side].as_object_mut() {
            fields.insert("APIVersion".to_owned(), version);
        }
    }
}

trait ClonedOrNull {
    fn cloned_or_null(self) -> Value;
}

impl ClonedOrNull for Result<&Value, &Failure> {
    fn cloned_or_null(self) -> Value {
        self.cloned().unwrap_or(Value::Null)
    }
}

/// Go's name of this machine's architecture.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `Thu May  7 21:09:36 2026` of an RFC 3339 time; anything else as it is.
fn built(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => at.to_zoned(crate::text::zone()).strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => text.to_owned(),
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or("").to_owned()
}

fn client_text(client: &Value) -> String {
    let api = match (text(client, "ApiVersion"), text(client, "DefaultAPIVersion")) {
        (api, newest) if api == newest => api,
        (api, newest) => format!("{api} (downgraded from {newest})"),
    };
    format!(
        "Client:\n Version:           {}\n API version:       {api}\n OS/Arch:           {}/{}\n Context:           \
         default\n",
        text(client, "Version"),
        text(client, "Os"),
        text(client, "Arch")
    )
}

fn server_text(server: &Value) -> String {
    let platform = server["Platform"]["Name"].as_str().unwrap_or("");
    let mut out = format!("Server: {platform}").trim_end().to_owned();
    out.push('\n');
    for component in server["Components"].as_array().into_iter().flatten() {
        let details = &component["Details"];
        out.push_str(&format!(" {}:\n  Version:          {}\n", text(component, "Name"), text(component, "Version")));
        if component["Name"] == "Engine" {
            let (api, low) = (text(details, "ApiVersion"), text(details, "MinAPIVersion"));
            out.push_str(&format!("  API version:      {api} (minimum version {low})\n"));
        }
        for (key, label) in [("GoVersion", "Go version"), ("GitCommit", "Git commit"), ("BuildTime", "Built")] {
            let known = !text(details, key).is_empty();
            let label = if component["Name"] == "Engine" || key != "GitCommit" { label } else { "GitCommit" };
            if known || label == "GitCommit" {
                let shown = if key == "BuildTime" { built(&text(details, key)) } else { text(details, key) };
                out.push_str(&format!("  {:17} {shown}\n", format!("{label}:")));
            }
        }
        if component["Name"] == "Engine" {
            out.push_str(&format!("  OS/Arch:          {}/{}\n", text(details, "Os"), text(details, "Arch")));
            out.push_str(&format!("  Experimental:     {}\n", text(details, "Experimental")));
        }
    }
    out
}

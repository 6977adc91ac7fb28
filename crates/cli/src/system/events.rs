//! `berth events`.

use crate::call::{Call, Failure, Outcome};
use crate::format::filter;
use crate::format::template::Template;
use crate::grammar::{Arity, Command, Flag};
use crate::{format_flag, point};
use berth_kit::time::Timestamp;
use serde_json::Value;
use std::io::Write;

static FLAGS: &[Flag] = &[
    Flag::filter("Filter output based on conditions provided").short('f'),
    format_flag::PLAIN,
    Flag::text("since", "Show all events created since timestamp"),
    Flag::text("until", "Stream events until this timestamp"),
];

/// `berth events`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS]", "Get real time events from the server", Arity::None, |call| Box::pin(events(call)))
        .with(&[FLAGS])
        .at(&["system events", "events"]);

async fn events(call: Call) -> Outcome {
    let flags = &call.flags;
    let source = match flags.text("format") {
        "json" => "{{json .}}",
        other => other,
    };
    let template = match source {
        "" => None,
        source => Some(Template::new(source).map_err(|e| Failure {
            text: match e {
                crate::format::template::Error::Parse(text) => format!("Error parsing format: {text}"),
                other => format!("Error parsing format: {other}"),
            },
            code: 64,
        })?),
    };
    let (since, until) = (point::unix(flags.text("since"))?, point::unix(flags.text("until"))?);
    let filters = filter::json(flags.list("filter"), &[]);
    let mut stream = call.client()?.events(&since, &until, &filters).await?;
    let mut out = std::io::stdout().lock();
    while let Some(event) = stream.next::<Value>().await? {
        match &template {
            None => writeln!(out, "{}", line(&event))?,
            Some(template) => {
                let text = template.run(&event).map_err(|e| Failure::new(e.to_string()))?;
                writeln!(out, "{text}")?;
            }
        }
        out.flush()?;
    }
    Ok(0)
}

/// `2026-01-02T03:04:05.000000006Z container start 0123 (image=x, name=y)`.
fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let nano = event["timeNano"].as_i64().unwrap_or_else(|| event["time"].as_i64().unwrap_or(0) * 1_000_000_000);
    let mut line = String::new();
    if let Ok(at) = Timestamp::from_nanosecond(i128::from(nano)) {
        let zoned = at.to_zoned(crate::text::zone());
        let zone = if zoned.offset().is_zero() { "Z".to_owned() } else { zoned.strftime("%:z").to_string() };
        line = format!("{}{zone} ", zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f"));
    }
    line.push_str(&format!("{} {} {}", text(&event["Type"]), text(&event["Action"]), text(&event["Actor"]["ID"])));
    let attributes = event["Actor"]["Attributes"].as_object();
    let mut pairs: Vec<_> =
        attributes.into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value))).collect();
    pairs.sort();
    if !pairs.is_empty() {
        line.push_str(&format!(" ({})", pairs.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line() {
        let event = serde_json::json!({"Type": "container", "Action": "start", "timeNano": 1_000_000_005,
            "Actor": {"ID": "f00", "Attributes": {"name": "n", "image": "i"}}});
        let line = line(&event);
        assert!(line.ends_with(" container start f00 (image=i, name=n)"), "{line}");
        assert!(line.contains(":01.000000005"), "{line}");
    }
}

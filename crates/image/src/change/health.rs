//! The `HEALTHCHECK` instruction.

use berth_spec::model::HealthConfig;

use super::words::json_list;

/// Reads `NONE`, or options and `CMD` with a command in exec or shell form.
pub fn parse(text: &str) -> Result<HealthConfig, String> {
    let mut config = HealthConfig::default();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let end = option.find(char::is_whitespace).unwrap_or(option.len());
        let (name, value) =
            option[..end].split_once('=').ok_or_else(|| format!("--{} needs a value", &option[..end]))?;
        set(&mut config, name, value)?;
        rest = option[end..].trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    config.test = Some(match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        "CMD" if command.is_empty() => return Err("Missing command after HEALTHCHECK CMD".to_owned()),
        "CMD" => match json_list(command) {
            Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        other => return Err(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)")),
    });
    Ok(config)
}

fn set(config: &mut HealthConfig, name: &str, value: &str) -> Result<(), String> {
    let duration = || {
        let ns = berth_kit::time::parse_duration(value).map_err(|error| format!("--{name}: {error}"))?;
        if ns < 0 { Err(format!("--{name} must not be negative")) } else { Ok(Some(ns)) }
    };
    match name {
        "interval" => config.interval = duration()?,
        "timeout" => config.timeout = duration()?,
        "start-period" => config.start_period = duration()?,
        "start-interval" => config.start_interval = duration()?,
        "retries" => {
            let retries: i64 = value.parse().map_err(|_| format!("--retries: invalid number '{value}'"))?;
            if retries < 0 {
                return Err("--retries must not be negative".to_owned());
            }
            config.retries = Some(retries);
        }
        _ => return Err(format!("Unknown flag: {name}")),
    }
    Ok(())
}

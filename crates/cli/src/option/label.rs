//! `key=value` collections and the small checks that go with them.

use serde_json::{Map, Value};

/// A JSON object of `key=value` texts; a key without value gets an empty one, the last of a key counts.
#[must_use]
pub fn object<'a>(pairs: impl IntoIterator<Item = &'a str>) -> Map<String, Value> {
    let split = |pair: &'a str| pair.split_once('=').unwrap_or((pair, ""));
    pairs.into_iter().map(split).map(|(k, v)| (k.to_owned(), Value::from(v))).collect()
}

/// Judges `--sysctl` and `--annotation`: Docker takes any text.
pub fn check_pair(text: &str) -> Result<(), String> {
    match text.starts_with('=') {
        true => Err(format!("invalid format: {text:?} has no key")),
        false => Ok(()),
    }
}

/// Judges `--sysctl`: only what belongs to a namespace may be set.
pub fn check_sysctl(text: &str) -> Result<(), String> {
    const NAMES: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let known = |key: &str| NAMES.contains(&key) || key.starts_with("net.") || key.starts_with("fs.mqueue.");
    match text.split_once('=') {
        Some((key, _)) if known(key) => Ok(()),
        _ => Err(format!("sysctl '{text}' is not allowed")),
    }
}

/// Judges `-l`.
pub fn check_label(text: &str) -> Result<(), String> {
    match text.starts_with('=') || text.is_empty() {
        true => Err(format!("invalid label '{text}': empty name")),
        false => Ok(()),
    }
}

/// Judges `--add-host NAME:ADDRESS` (or `=`).
pub fn check_host(text: &str) -> Result<(), String> {
    let split = text.split_once('=').or_else(|| text.split_once(':'));
    match split {
        Some((name, address)) if !name.is_empty() => {
            let bare = address.trim_start_matches('[').trim_end_matches(']');
            match address == "host-gateway" || bare.parse::<std::net::IpAddr>().is_ok() {
                true => Ok(()),
                false => Err(format!("invalid IP address in add-host: {address:?}")),
            }
        }
        _ => Err(format!("bad format for add-host: {text:?}")),
    }
}

/// `NAME:ADDRESS` of an `--add-host` that was judged.
#[must_use]
pub fn host(text: &str) -> String {
    match text.split_once('=').or_else(|| text.split_once(':')) {
        Some((name, address)) => format!("{name}:{}", address.trim_start_matches('[').trim_end_matches(']')),
        None => text.to_owned(),
    }
}

/// Judges `--dns`.
pub fn check_address(text: &str) -> Result<(), String> {
    match text.trim().parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

/// Judges `--link NAME[:ALIAS]`.
pub fn check_link(text: &str) -> Result<(), String> {
    match text.split(':').count() {
        _ if text.is_empty() => Err("empty string specified for links".into()),
        1 | 2 => Ok(()),
        _ => Err(format!("bad format for links: {text}")),
    }
}

/// Judges `-a`.
pub fn check_stream(text: &str) -> Result<(), String> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in ["a:1.2.3.4", "a=1.2.3.4", "a:::1", "a=[::1]", "a:host-gateway"] {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        assert_eq!(host("a=[::1]"), "a:::1");
        assert_eq!(check_host("a").unwrap_err(), "bad format for add-host: \"a\"");
        assert_eq!(check_host("a:x").unwrap_err(), "invalid IP address in add-host: \"x\"");
    }

    #[test]
    fn last_of_a_key_counts() {
        assert_eq!(Value::from(object(["a=1", "b", "a=2"])).to_string(), r#"{"a":"2","b":""}"#);
    }
}

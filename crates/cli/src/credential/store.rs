//! Where credentials are kept: the helper of the registry, the helper of all, or config.json in base64.

use super::{Credential, program};
use crate::call::Failure;
use crate::config::Config;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// The helper that keeps the credentials of `key`, if any.
fn helper<'c>(config: &'c Config, key: &str) -> Option<&'c str> {
    let file = config.file();
    let own = file.cred_helpers.get(key).or_else(|| file.cred_helpers.get(super::key(key).as_str()));
    own.map(String::as_str).or(Some(file.creds_store.as_str())).filter(|helper| !helper.is_empty())
}

/// The credentials for a registry.
///
/// # Errors
/// The helper's.
pub fn find(config: &Config, key: &str) -> Result<Option<Credential>, Failure> {
    if let Some(helper) = helper(config, key) {
        return program::get(helper, key);
    }
    let auths = &config.file().auths;
    // Older clients wrote addresses with scheme and path.
    let stored =
        auths.get(key).or_else(|| auths.iter().find(|(written, _)| super::key(written) == key).map(|(_, auth)| auth));
    let Some(stored) = stored else { return Ok(None) };
    let decoded = STANDARD.decode(&stored.auth).unwrap_or_default();
    let decoded = String::from_utf8(decoded).unwrap_or_default();
    let (user, password) = decoded.split_once(':').unwrap_or(("", ""));
    if user.is_empty() && stored.identity_token.is_empty() {
        return Ok(None);
    }
    Ok(Some(Credential {
        username: user.to_owned(),
        password: password.trim_end_matches('\0').to_owned(),
        identity_token: stored.identity_token.clone(),
    }))
}

/// Keeps credentials; `true` when they now stand in config.json itself.
///
/// # Errors
/// The helper's, or the file's.
pub fn keep(config: &Config, key: &str, credential: &Credential) -> Result<bool, Failure> {
    let helper = helper(config, key);
    if let Some(helper) = helper {
        program::store(helper, key, credential)?;
    }
    let entry = match helper {
        // The helper has the secret; the entry says that there is one.
        Some(_) => json!({}),
        None => {
            let mut entry = Map::new();
            let pair = format!("{}:{}", credential.username, credential.password);
            let has_token = !credential.identity_token.is_empty();
            let kept = if has_token { format!("{}:", credential.username) } else { pair };
            entry.insert("auth".to_owned(), json!(STANDARD.encode(kept)));
            if has_token {
                entry.insert("identitytoken".to_owned(), json!(credential.identity_token));
            }
            Value::Object(entry)
        }
    };
    edit(config, |auths| drop(auths.insert(key.to_owned(), entry)))?;
    Ok(helper.is_none())
}

/// Forgets credentials.
///
/// # Errors
/// The helper's, or the file's.
pub fn erase(config: &Config, key: &str) -> Result<(), Failure> {
    if let Some(helper) = helper(config, key) {
        program::erase(helper, key)?;
    }
    let has_any = config.file().auths.keys().any(|written| super::key(written) == key);
    if !has_any && !config.file().auths.contains_key(key) {
        return Ok(());
    }
    edit(config, |auths| auths.retain(|written, _| written != key && super::key(written) != key))
}

/// Changes the `auths` of config.json and nothing else of it.
fn edit(config: &Config, change: impl FnOnce(&mut Map<String, Value>)) -> Result<(), Failure> {
    let directory = config.directory();
    let path = directory.join("config.json");
    let shown = |error: &std::io::Error| Failure::new(format!("{}: {}", path.display(), crate::text::os(error)));
    let mut whole: Map<String, Value> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new(format!("{}: {error}; it is left as it is", path.display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(shown(&error)),
    };
    let auths = whole.entry("auths").or_insert_with(|| json!({}));
    match auths.as_object_mut() {
        Some(auths) => change(auths),
        None => return Err(Failure::new(format!("{}: auths is no object; it is left as it is", path.display()))),
    }
    // Docker's own indent.
    let mut text = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(&whole, &mut serde_json::Serializer::with_formatter(&mut text, form))
        .map_err(|error| Failure::new(error.to_string()))?;
    let draft = directory.join(format!("config.json.{}", std::process::id()));
    let write = || {
        std::fs::create_dir_all(&directory)?;
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&text)?;
        // A link to the real file stays one.
        std::fs::rename(&draft, std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone()))
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&draft);
        shown(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn config(text: &str) -> (tempfile::TempDir, Config) {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("config.json"), text).unwrap();
        let config = Config::in_directory(place.path().to_str().unwrap());
        (place, config)
    }

    fn ann() -> Credential {
        Credential { username: "ann".into(), password: "se:cret".into(), ..Credential::default() }
    }

    #[test]
    fn the_file_keeps_what_else_it_says() {
        let (place, config) = config(r#"{"psFormat":"x","auths":{"other.example":{"auth":"YTpi"}}}"#);
        assert!(keep(&config, "r.example:5000", &ann()).unwrap());
        let again = Config::in_directory(place.path().to_str().unwrap());
        assert_eq!(find(&again, "r.example:5000").unwrap(), Some(ann()));
        assert_eq!(find(&again, "other.example").unwrap().unwrap().username, "a");
        assert_eq!(again.file().ps_format, "x");
        let mode = std::fs::metadata(place.path().join("config.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        erase(&again, "r.example:5000").unwrap();
        let last = Config::in_directory(place.path().to_str().unwrap());
        assert_eq!(find(&last, "r.example:5000").unwrap(), None);
        assert!(last.file().auths.contains_key("other.example"));
    }

    #[test]
    fn tokens_and_old_keys() {
        let (place, config) = config(r#"{"auths":{"https://old.example/v1/":{"auth":"YTpi"}}}"#);
        assert_eq!(find(&config, "old.example").unwrap().unwrap().password, "b");
        let token = Credential { username: "ann".into(), identity_token: "tok".into(), ..Credential::default() };
        keep(&config, super::super::DEFAULT_KEY, &token).unwrap();
        let again = Config::in_directory(place.path().to_str().unwrap());
        assert_eq!(find(&again, super::super::DEFAULT_KEY).unwrap(), Some(token));
    }

    #[test]
    fn a_broken_file_is_left_as_it_is() {
        let (place, config) = config("{broken");
        assert!(keep(&config, "r.example", &ann()).is_err());
        assert_eq!(std::fs::read_to_string(place.path().join("config.json")).unwrap(), "{broken");
    }

    #[test]
    fn helpers_keep_secrets_out_of_the_file() {
        let (place, config) = config(r#"{"credHelpers":{"r.example":"berth-test-none"}}"#);
        let failure = find(&config, "r.example").unwrap_err();
        assert!(failure.text.contains("docker-credential-berth-test-none"), "{}", failure.text);
        assert_eq!(find(&config, "other.example").unwrap(), None);
        assert!(program::get("../evil", "x").is_err());
        drop(place);
    }
}

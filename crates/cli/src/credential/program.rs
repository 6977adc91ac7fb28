//! Credential helpers: programs named `docker-credential-<name>` (their protocol: a verb as argument, JSON on stdin and
//! stdout).

use super::{Credential, TOKEN};
use crate::call::Failure;
use serde::Deserialize;
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

/// What helpers say of a registry that they do not know.
const UNKNOWN: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The credentials that a helper has for `key`.
pub fn get(helper: &str, key: &str) -> Result<Option<Credential>, Failure> {
    let output = match run(helper, "get", key.as_bytes())? {
        Ok(output) => output,
        Err(text) if text.contains(UNKNOWN) => return Ok(None),
        Err(text) => return Err(failed(helper, "get", &text)),
    };
    // The parser's message could show the secret.
    let found: Found = serde_json::from_slice(&output).map_err(|_| failed(helper, "get", "its answer is no JSON"))?;
    Ok(Some(match found.username == TOKEN {
        true => Credential { identity_token: found.secret, ..Credential::default() },
        false => Credential { username: found.username, password: found.secret, ..Credential::default() },
    }))
}

/// Gives credentials to a helper to keep.
pub fn store(helper: &str, key: &str, credential: &Credential) -> Result<(), Failure> {
    let (user, secret) = match credential.identity_token.is_empty() {
        true => (credential.username.as_str(), &credential.password),
        false => (TOKEN, &credential.identity_token),
    };
    let text = json!({"ServerURL": key, "Username": user, "Secret": secret}).to_string();
    run(helper, "store", text.as_bytes())?.map(drop).map_err(|text| failed(helper, "store", &text))
}

/// Has a helper forget credentials.
pub fn erase(helper: &str, key: &str) -> Result<(), Failure> {
    match run(helper, "erase", key.as_bytes())? {
        Err(text) if !text.contains(UNKNOWN) => Err(failed(helper, "erase", &text)),
        _ => Ok(()),
    }
}

fn failed(helper: &str, verb: &str, text: &str) -> Failure {
    Failure::new(format!("docker-credential-{helper} {verb}: {}", text.trim()))
}

/// What the helper says: on success its output, on failure its words.
fn run(helper: &str, verb: &str, input: &[u8]) -> Result<Result<Vec<u8>, String>, Failure> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if helper.is_empty() || !helper.bytes().all(is_name) {
        return Err(Failure::new(format!("invalid name of a credential helper: {helper:?}")));
    }
    let program = format!("docker-credential-{helper}");
    let started =
        Command::new(&program).arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| Failure::new(format!("{program}: {}", crate::text::os(&error))))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read says why itself.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(Ok(output.stdout));
    }
    let words = [output.stdout, output.stderr].concat();
    Ok(Err(String::from_utf8_lossy(&words).into_owned()))
}

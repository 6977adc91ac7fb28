//! Reading answers: bodies within limits, and the registry's words about what went wrong.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Response, StatusCode, body::Incoming, header};
use serde::Deserialize;

/// Between two pieces of a body.
pub const PIECE_PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of an error's body that are read, and shown.
const WORDS_BYTES_MAX: usize = 64 * 1024;
const WORDS_SHOWN_MAX: usize = 500;

/// Why a body could not be read.
pub enum Unread {
    TooLarge,
    Broken(String),
}

/// The whole body of at most `limit` bytes.
pub async fn whole(response: Response<Incoming>, limit: usize) -> Result<Bytes, Unread> {
    let body = Limited::new(response.into_body(), limit).collect();
    match tokio::time::timeout(PIECE_PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(error)) => Err(Unread::Broken(crate::connect::causes(&*error))),
        Err(_) => Err(Unread::Broken(format!("the answer takes longer than {} s", PIECE_PATIENCE.as_secs()))),
    }
}

#[derive(Deserialize)]
struct Faults {
    errors: Vec<Fault>,
}

/// One error of an answer (OCI distribution specification, "Error Codes").
#[derive(Debug, Default, Deserialize)]
pub struct Fault {
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    message: String,
}

impl Fault {
    /// As Docker shows it: `manifest unknown: manifest unknown`.
    pub fn words(&self) -> String {
        let code = self.code.to_lowercase().replace('_', " ");
        let text = match (code.is_empty(), self.message.is_empty()) {
            (false, false) => format!("{code}: {}", self.message),
            (false, true) => code,
            _ => self.message.clone(),
        };
        // Whatever a registry says must not steer a terminal.
        text.chars().filter(|character| !character.is_control()).take(WORDS_SHOWN_MAX).collect()
    }
}

/// What a registry says about its refusal.
pub async fn fault(response: Response<Incoming>) -> Fault {
    let status = response.status();
    let body = whole(response, WORDS_BYTES_MAX).await.unwrap_or_default();
    let read: Option<Fault> =
        serde_json::from_slice::<Faults>(&body).ok().and_then(|faults| faults.errors.into_iter().next());
    read.unwrap_or_else(|| unsaid(status))
}

/// What a status means where a registry says no more, as to a HEAD: for access in Docker's words.
fn unsaid(status: StatusCode) -> Fault {
    let (code, message) = match status {
        StatusCode::UNAUTHORIZED => ("UNAUTHORIZED", "authentication required".to_owned()),
        StatusCode::FORBIDDEN => ("DENIED", "requested access to the resource is denied".to_owned()),
        _ => ("", status.to_string()),
    };
    Fault { code: code.to_owned(), message }
}

impl Unread {
    fn reason(self) -> String {
        match self {
            Self::TooLarge => "the answer is too large".to_owned(),
            Self::Broken(reason) => reason,
        }
    }
}

/// The whole body of at most `limit` bytes, or why not.
pub async fn text(response: Response<Incoming>, limit: usize) -> Result<Bytes, String> {
    whole(response, limit).await.map_err(Unread::reason)
}

/// `Retry-After` in seconds.
pub fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

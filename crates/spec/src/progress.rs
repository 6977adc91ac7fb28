//! Lines of the progress stream of long operations (Engine API, `jsonmessage`).

use serde::{Deserialize, Serialize};

/// One JSON line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Plain text, printed as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What is being done: `Loading layer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// To what: the short layer id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How far.
    #[serde(rename = "progressDetail", default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// The end of a failed operation.
    #[serde(rename = "errorDetail", default, skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// The failure's text again, for old clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// A result for machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
}

/// Bytes done and to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Bytes done.
    #[serde(default)]
    pub current: i64,
    /// Bytes in all, 0 when unknown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// A failure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Status code, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// One sentence.
    pub message: String,
}

impl Progress {
    /// A line of plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { stream: Some(text.into()), ..Self::default() }
    }

    /// A line about the whole: `Digest: sha256:…`.
    #[must_use]
    pub fn status(text: impl Into<String>) -> Self {
        Self { status: Some(text.into()), ..Self::default() }
    }

    /// `status` about `id` with `current` of `total` bytes done.
    #[must_use]
    pub fn step(id: impl Into<String>, status: impl Into<String>, current: u64, total: u64) -> Self {
        let clamp = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        Self {
            id: Some(id.into()),
            status: Some(status.into()),
            detail: Some(Detail { current: clamp(current), total: clamp(total) }),
            ..Self::default()
        }
    }

    /// The last line of a failed operation.
    #[must_use]
    pub fn failure(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            error_detail: Some(ErrorDetail { code: None, message: message.clone() }),
            error: Some(message),
            ..Self::default()
        }
    }
}

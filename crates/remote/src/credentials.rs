//! What a client sends along for a registry: the header `X-Registry-Auth` (Engine API, "Authentication").

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;

use crate::{Error, Result};

/// Clients send it with padding and without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user's credentials for one registry.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// User name, empty for none.
    pub username: String,
    /// Password, empty for none.
    pub password: String,
    /// A refresh token, in place of user and password.
    #[serde(rename = "identitytoken")]
    pub identity_token: String,
    /// A bearer token for the registry itself.
    #[serde(rename = "registrytoken")]
    pub registry_token: String,
}

impl Credentials {
    /// Reads the header's value; an empty one and `{}` mean none.
    ///
    /// # Errors
    /// [`Error::Credentials`] for anything that is no base64url JSON object.
    pub fn from_header(value: &str) -> Result<Option<Self>> {
        if value.is_empty() {
            return Ok(None);
        }
        let bytes = LENIENT.decode(value).map_err(|error| Error::Credentials(error.to_string()))?;
        // The parser's message would show what it parsed.
        let invalid = |_| Error::Credentials("not a JSON object of texts".to_owned());
        let read: Self = serde_json::from_slice(&bytes).map_err(invalid)?;
        let is_empty = read.username.is_empty() && read.identity_token.is_empty() && read.registry_token.is_empty();
        Ok((!is_empty).then_some(read))
    }

    /// `Authorization` with user and password.
    pub(crate) fn basic(&self) -> Option<String> {
        let pair = || format!("{}:{}", self.username, self.password);
        (!self.username.is_empty())
            .then(|| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair())))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

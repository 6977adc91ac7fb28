//! Credentials of registries, as the client knows them.

use super::Session;
use crate::grpc::{Code, Status};
use crate::proto::session::{CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse};

const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const FETCH_TOKEN: &str = "/moby.filesync.v1.Auth/FetchToken";

/// A name and its password; an empty name makes the password an identity token.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password or identity token.
    pub secret: String,
}

/// A bearer token that the client fetched.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub token: String,
    /// How long it holds, in seconds.
    pub expires_in_s: i64,
}

impl Session {
    /// The credentials for a registry; none where the client has none or offers none at all.
    ///
    /// # Errors
    /// [`Status`] when the client fails to answer.
    pub async fn credentials(&self, host: &str) -> Result<Option<Credentials>, Status> {
        if !self.offers(CREDENTIALS) {
            return Ok(None);
        }
        let request = CredentialsRequest { host: host.to_owned() };
        let answer: CredentialsResponse = match self.channel.unary(CREDENTIALS, &Vec::new(), &request).await {
            Ok(answer) => answer,
            Err(status) if matches!(status.code, Code::Unimplemented | Code::NotFound) => return Ok(None),
            Err(status) => return Err(status),
        };
        let known = !answer.secret.is_empty();
        Ok(known.then_some(Credentials { username: answer.username, secret: answer.secret }))
    }

    /// A token that the client fetches with credentials it keeps to itself; none where it does not.
    ///
    /// # Errors
    /// As [`Session::credentials`].
    pub async fn token(
        &self,
        host: &str,
        realm: &str,
        service: &str,
        scopes: &[String],
    ) -> Result<Option<Token>, Status> {
        if !self.offers(FETCH_TOKEN) {
            return Ok(None);
        }
        let request = FetchTokenRequest {
            client_id: "berth".to_owned(),
            host: host.to_owned(),
            realm: realm.to_owned(),
            service: service.to_owned(),
            scopes: scopes.to_vec(),
        };
        let answer: FetchTokenResponse = match self.channel.unary(FETCH_TOKEN, &Vec::new(), &request).await {
            Ok(answer) => answer,
            Err(status) if status.code == Code::Unimplemented => return Ok(None),
            Err(status) => return Err(status),
        };
        Ok(Some(Token { token: answer.token, expires_in_s: answer.expires_in }))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires_in_s", &self.expires_in_s).finish_non_exhaustive()
    }
}

//! Whether a registry knows a user (Docker Registry v2 authentication, "Token Authentication").

use berth_spec::Reference;
use hyper::StatusCode;

use crate::{
    Client, Credentials, Error, Policy, Repository, Result, answer,
    challenge::Challenge,
    repository::Way,
    request::{Wanted, challenge},
    token::{granted, with_query},
};

impl Client {
    /// Shows credentials to the registry `domain` (`docker.io`, `host[:port]`); gives a token to be kept in place of
    /// the password, empty where the registry has none to give.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] when it does not take them, [`Error::Address`], and those of the connection.
    pub async fn login(&self, domain: &str, policy: &Policy, credentials: Credentials) -> Result<String> {
        let invalid = |_| Error::Address { address: domain.to_owned(), reason: "not a registry" };
        let named = Reference::parse(&format!("{domain}/login")).map_err(invalid)?;
        let repository =
            Repository::new(self.clone(), &named, policy, Some(credentials), crate::repository::Access::Push)?;
        let mut last = Err(repository.no_way());
        for way in repository.ways(|_| true) {
            last = repository.log_in(way).await;
            if !last.as_ref().is_err_and(Error::is_unreachable) {
                break;
            }
        }
        last
    }
}

impl Repository {
    async fn log_in(&self, way: &Way) -> Result<String> {
        let url = format!("{}{}/", way.endpoint.origin, way.endpoint.root);
        let request = crate::error::request(&hyper::Method::GET, &url);
        let wanted = Wanted::get(url.clone(), "*/*", &self.familiar);
        // No token is asked for on the way: the challenge is answered here.
        let response = self.follow_plain(way, &wanted).await?;
        if response.status().is_success() {
            return Ok(String::new());
        }
        if response.status() != StatusCode::UNAUTHORIZED {
            let status = response.status().as_u16();
            return Err(Error::Status { request, status, reason: answer::fault(response).await.words() });
        }
        let refused =
            || Error::Unauthorized { request: request.clone(), reason: "incorrect username or password".to_owned() };
        match challenge(way, &response)? {
            Challenge::Basic => {
                *way.lock() = self.credentials.as_ref().and_then(Credentials::basic);
                let response = self.follow_plain(way, &wanted).await?;
                if response.status().is_success() { Ok(String::new()) } else { Err(refused()) }
            }
            Challenge::Bearer { realm, service, .. } => {
                let uri = self.trusted(way, &realm)?;
                let user = self.credentials.as_ref().map(|given| given.username.clone()).unwrap_or_default();
                let pairs = [
                    ("account", user.as_str()),
                    ("service", &service),
                    ("offline_token", "true"),
                    ("client_id", "berth"),
                ];
                let uri = with_query(&uri, &pairs).ok_or_else(refused)?;
                let basic = self.credentials.as_ref().and_then(Credentials::basic);
                let grant = granted(uri.to_string(), self.ask_for_token(way, &uri, basic, None).await?).await?;
                *way.lock() = Some(format!("Bearer {}", grant.token));
                let response = self.follow_plain(way, &wanted).await?;
                // A token for nothing in particular need not open the door of the API.
                let is_in = response.status().is_success() || response.status() == StatusCode::FORBIDDEN;
                if is_in { Ok(grant.refresh) } else { Err(refused()) }
            }
        }
    }
}

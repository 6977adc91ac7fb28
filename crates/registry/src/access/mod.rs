//! Access: who asks, by password or token, and what that entitles to.
//!
//! A registry without accounts and without an htpasswd file is open: everybody may do everything. With the first account
//! it closes. Accounts begin with no right; users of the htpasswd file without roles of their own have all, as with
//! Docker's registry. Roles of the name `anonymous` hold for those who do not say who they are.

pub mod password;
pub mod role;
pub mod token;

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{HeaderMap, header};

use crate::{
    Result,
    fault::{Fault, Outcome},
    ledger::{Ledger, account},
    limit::Rate,
    settings::{Scheme, Settings},
};
use password::{Htpasswd, Verifier};
use role::{Action, Actions, Identity};
use token::{Access as Scope, Issuer};

/// Whose roles hold for everybody.
pub const ANONYMOUS: &str = "anonymous";
/// Longest `Authorization` header that is read, in bytes.
const HEADER_BYTES_MAX: usize = 20 * 1024;

/// Decides who may do what.
#[derive(Debug)]
pub struct Access {
    ledger: Ledger,
    htpasswd: Option<Htpasswd>,
    verifier: Verifier,
    issuer: Issuer,
    scheme: Scheme,
    service: String,
    failures: Rate,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Access {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// [`crate::Error::File`], [`crate::Error::Setting`].
    pub fn open(settings: &Settings, ledger: Ledger) -> Result<Self> {
        Ok(Self {
            ledger,
            htpasswd: settings.htpasswd.as_deref().map(Htpasswd::open).transpose()?,
            verifier: Verifier::new()?,
            issuer: Issuer::open(&settings.root.join("token.key"), &settings.service)?,
            scheme: settings.scheme,
            service: settings.service.clone(),
            failures: Rate::new(settings.limits.failures_per_minute, std::time::Duration::from_secs(60)),
        })
    }

    /// Whether everybody may do everything.
    ///
    /// # Errors
    /// [`crate::Error::Ledger`].
    pub fn is_open(&self) -> Result<bool> {
        Ok(self.htpasswd.is_none() && !self.ledger.read("look for accounts", account::is_any)?)
    }

    /// Who sends these headers.
    ///
    /// # Errors
    /// 401 for credentials that are wrong, 429 after too many of them.
    pub async fn identify(&self, headers: &HeaderMap, address: IpAddr) -> Outcome<Identity> {
        if self.is_open()? {
            return Ok(Identity::owner(None));
        }
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(self.anybody()?) };
        let text = value.to_str().ok().filter(|text| text.len() <= HEADER_BYTES_MAX).ok_or_else(Fault::unauthorized)?;
        let (scheme, rest) = text.split_once(' ').ok_or_else(Fault::unauthorized)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.by_token(rest.trim());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Fault::unauthorized());
        }
        let bytes = STANDARD.decode(rest.trim()).map_err(|_| Fault::unauthorized())?;
        let pair = String::from_utf8(bytes).map_err(|_| Fault::unauthorized())?;
        let (name, password) = pair.split_once(':').ok_or_else(Fault::unauthorized)?;
        self.by_password(name, password, address).await
    }

    /// Who has this name and password.
    ///
    /// # Errors
    /// 401 when nobody has, 429 after too many attempts.
    pub async fn by_password(&self, name: &str, password: &str, address: IpAddr) -> Outcome<Identity> {
        self.failures.look(address).map_err(|wait| Fault::too_many().header("Retry-After", &wait.to_string()))?;
        let own = self.ledger.read("look for an account", |c| account::find(c, name))?;
        let hash = match &own {
            Some(own) => Some(own.secret.clone()),
            None => self.htpasswd.as_ref().and_then(|htpasswd| htpasswd.hash(name)),
        };
        if !self.verifier.verify(password, hash.as_deref()).await {
            let _ = self.failures.take(address);
            return Err(Fault::unauthorized());
        }
        self.account(name)?.ok_or_else(Fault::unauthorized)
    }

    fn by_token(&self, text: &str) -> Outcome<Identity> {
        let claims = self.issuer.verify(text).ok_or_else(Fault::unauthorized)?;
        let identity = match claims.sub.as_str() {
            "" => Some(self.anybody()?),
            // An account that was removed takes its tokens with it.
            name => self.account(name)?,
        };
        let mut identity = identity.ok_or_else(Fault::unauthorized)?;
        let repositories = claims.access.iter().filter(|access| access.kind == "repository");
        identity.narrowed = Some(repositories.map(|access| (access.name.clone(), access.set())).collect());
        Ok(identity)
    }

    fn grants(&self, name: &str) -> Result<Vec<(String, Actions)>> {
        let roles = self.ledger.read("read roles", |c| account::roles(c, name))?;
        Ok(roles.into_iter().filter_map(|role| Some((role.pattern, Actions::parse(&role.actions).ok()?))).collect())
    }

    fn anybody(&self) -> Result<Identity> {
        Ok(Identity { account: None, grants: self.grants(ANONYMOUS)?, narrowed: None })
    }

    fn account(&self, name: &str) -> Result<Option<Identity>> {
        let mut grants = self.grants(name)?;
        let is_own = self.ledger.read("look for an account", |c| account::find(c, name))?.is_some();
        if !is_own {
            if self.htpasswd.as_ref().and_then(|htpasswd| htpasswd.hash(name)).is_none() {
                return Ok(None);
            }
            if grants.is_empty() {
                return Ok(Some(Identity::owner(Some(name.to_owned()))));
            }
        }
        grants.extend(self.grants(ANONYMOUS)?);
        Ok(Some(Identity { account: Some(name.to_owned()), grants, narrowed: None }))
    }

    /// The header that says how to prove who one is. `base` is the registry's own URL as the client sees it.
    #[must_use]
    pub fn challenge(&self, base: &str, wanted: Option<(&str, Action)>) -> String {
        if self.scheme == Scheme::Basic {
            return format!("Basic realm=\"{}\"", self.service);
        }
        let mut text = format!("Bearer realm=\"{base}/token\",service=\"{}\"", self.service);
        if let Some((name, action)) = wanted {
            let actions = if action == Action::Push { "pull,push" } else { action.as_str() };
            text += &format!(",scope=\"repository:{name}:{actions}\"");
        }
        text
    }

    /// A token for as much of the scopes as the identity may have.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] when it cannot be signed.
    pub fn token(&self, identity: &Identity, scopes: &[Scope]) -> Result<String> {
        let granted = scopes.iter().filter(|scope| scope.kind == "repository").map(|scope| {
            let actions = identity.actions(&scope.name).and(scope.set());
            Scope { actions: actions.words().map(str::to_owned).collect(), ..scope.clone() }
        });
        self.issuer.issue(identity.account.as_deref().unwrap_or_default(), granted.collect())
    }
}

//! The user's `config.json`: the keys of Docker's that concern a client without contexts.

use serde::Deserialize;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the file says; read when first asked for.
#[derive(Default)]
pub struct Config {
    directory: Option<PathBuf>,
    file: OnceCell<File>,
}

/// The keys in use.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct File {
    /// Key sequence that leaves a container.
    #[serde(rename = "detachKeys")]
    pub detach_keys: String,
    /// Default `--format` of ps.
    #[serde(rename = "psFormat")]
    pub ps_format: String,
    /// Default `--format` of images.
    #[serde(rename = "imagesFormat")]
    pub images_format: String,
    /// Default `--format` of network ls.
    #[serde(rename = "networksFormat")]
    pub networks_format: String,
    /// Default `--format` of volume ls.
    #[serde(rename = "volumesFormat")]
    pub volumes_format: String,
    /// Default `--format` of stats.
    #[serde(rename = "statsFormat")]
    pub stats_format: String,
    /// Headers for every call.
    #[serde(rename = "HttpHeaders")]
    pub headers: BTreeMap<String, String>,
    /// The helper program that keeps all credentials.
    #[serde(rename = "credsStore")]
    pub creds_store: String,
    /// Helper programs by registry.
    #[serde(rename = "credHelpers")]
    pub cred_helpers: BTreeMap<String, String>,
    /// Credentials by registry.
    pub auths: BTreeMap<String, Auth>,
}

/// Credentials of one registry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// Base64 of `user:password`.
    pub auth: String,
    /// Token that stands for a password.
    #[serde(rename = "identitytoken")]
    pub identity_token: String,
}

impl Config {
    /// Takes `--config`, `DOCKER_CONFIG` or `~/.docker`, in this order.
    #[must_use]
    pub fn in_directory(flag: &str) -> Self {
        let named = (!flag.is_empty()).then(|| PathBuf::from(flag));
        let directory = named
            .or_else(|| std::env::var_os("DOCKER_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from))
            .or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
        Self { directory, file: OnceCell::new() }
    }

    /// The directory of the file, also of certificates.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(|| PathBuf::from(".docker"))
    }

    /// The file; a missing one is empty, a broken one is reported and empty.
    pub fn file(&self) -> &File {
        self.file.get_or_init(|| {
            let path = self.directory().join("config.json");
            let Ok(bytes) = std::fs::read(&path) else { return File::default() };
            serde_json::from_slice(&bytes).unwrap_or_else(|e| {
                crate::complain!("WARNING: Error loading config file: {}: {e}", path.display());
                File::default()
            })
        })
    }
}

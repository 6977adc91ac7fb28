//! What a registry is told at its start.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// All settings; [`Settings::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is kept.
    pub root: PathBuf,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Certificate chain and key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Users with all rights, in Apache's format.
    pub htpasswd: Option<PathBuf>,
    /// How clients are asked who they are.
    pub scheme: Scheme,
    /// The registry's name in tokens.
    pub service: String,
    /// The registry's own URL as clients see it, where a proxy stands before it.
    pub public_url: Option<String>,
    /// Where the audit log goes.
    pub audit: Option<PathBuf>,
    /// Upstreams, longest prefix first.
    pub upstreams: Vec<Upstream>,
    /// Directory with a directory of certificates for each upstream host.
    pub upstream_certificates: Option<PathBuf>,
    /// Of mirrored tags.
    pub mirror: Mirror,
    /// Of blobs in an S3-compatible bucket.
    pub bucket: Option<Bucket>,
    /// Sizes, counts and rates.
    pub limits: Limits,
    /// How often garbage is collected; zero for never.
    pub collect_every: Duration,
    /// How long something that nobody refers to is kept.
    pub grace: Duration,
    /// How long an upload may rest.
    pub upload_age: Duration,
    /// Whether manifests without tag are garbage.
    pub collect_untagged: bool,
    /// Whether anything may be deleted by clients.
    pub is_delete_allowed: bool,
}

/// How clients are asked who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A token of the registry's own issuer; Basic is understood too.
    Token,
    /// Name and password with each request.
    Basic,
}

/// A registry that is mirrored.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Of repository names here; empty for all.
    pub prefix: String,
    /// `https://host[:port][/path]`.
    pub url: String,
    /// Name and password there.
    pub credentials: Option<(String, String)>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("prefix", &self.prefix).field("url", &self.url).finish_non_exhaustive()
    }
}

/// Of mirrored content.
#[derive(Debug, Clone, Copy)]
pub struct Mirror {
    /// How long a tag is believed without asking.
    pub fresh: Duration,
    /// How long a tag is served when the upstream cannot be asked.
    pub stale: Duration,
    /// Bytes of mirrored blobs that are kept; zero for no limit.
    pub quota_bytes: u64,
}

/// A bucket of an S3-compatible server.
#[derive(Clone)]
pub struct Bucket {
    /// `http[s]://host[:port]`.
    pub endpoint: String,
    /// Name of the bucket.
    pub name: String,
    /// Before all keys.
    pub prefix: String,
    /// For signatures.
    pub region: String,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("endpoint", &self.endpoint).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Sizes, counts and rates.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a blob.
    pub blob_bytes: u64,
    /// Bytes of a manifest.
    pub manifest_bytes: usize,
    /// Tags in a repository.
    pub tags: u64,
    /// Repositories.
    pub repositories: u64,
    /// Uploads under way.
    pub uploads: usize,
    /// Names in one page of a list.
    pub page: usize,
    /// Connections.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Requests a second from one address; zero for no limit.
    pub requests_per_second: u32,
    /// Requests of `_catalog` a second from one address.
    pub catalogs_per_second: u32,
    /// Wrong passwords a minute from one address.
    pub failures_per_minute: u32,
}

impl Settings {
    /// The defaults for a registry in `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5000))],
            tls: None,
            htpasswd: None,
            scheme: Scheme::Token,
            service: "berth-registry".to_owned(),
            public_url: None,
            audit: None,
            upstreams: Vec::new(),
            upstream_certificates: None,
            mirror: Mirror { fresh: Duration::from_secs(300), stale: Duration::from_secs(30 * 86_400), quota_bytes: 0 },
            bucket: None,
            limits: Limits {
                blob_bytes: 128 << 30,
                manifest_bytes: crate::manifest::BYTES_MAX,
                tags: 100_000,
                repositories: 1_000_000,
                uploads: 10_000,
                page: 1000,
                connections: 8192,
                connections_per_address: 4096,
                requests_per_second: 0,
                catalogs_per_second: 10,
                failures_per_minute: 30,
            },
            collect_every: Duration::from_secs(6 * 3600),
            grace: Duration::from_secs(24 * 3600),
            upload_age: Duration::from_secs(7 * 86_400),
            collect_untagged: false,
            is_delete_allowed: true,
        }
    }
}

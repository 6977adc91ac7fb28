//! `serve`: the registry itself.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{Place, parse};
use crate::{
    Error, Result,
    registry::Registry,
    serve::{bind, serve},
    settings::{self, Scheme, Settings, Upstream},
};

/// How clients are asked who they are.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Auth {
    /// Tokens of an own issuer; Basic is understood too
    Token,
    /// Name and password with each request
    Basic,
}

/// Flags of `serve`; the defaults are those of [`Settings::new`].
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    place: Place,
    /// Address to listen at (several; default 127.0.0.1:5000)
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// Certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Users in Apache's format (bcrypt), beside the registry's own accounts
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
    /// How clients are asked who they are
    #[arg(long, value_enum, default_value = "token")]
    auth: Auth,
    /// URL of this registry as clients see it, behind a proxy
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Append a JSON line for each request
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Mirror a registry, for repositories below PREFIX or for all (several)
    #[arg(long, value_name = "[PREFIX=]URL", value_parser = parse::upstream)]
    proxy_upstream: Vec<Upstream>,
    /// Ask the upstream for a tag again after this time
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse::time)]
    proxy_fresh: Duration,
    /// Serve a tag this long while the upstream cannot be asked
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse::time)]
    proxy_stale: Duration,
    /// Keep this much of mirrored blobs, the last used ones (0: all)
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse::size)]
    proxy_quota: u64,
    /// Directory with a directory of certificates for each upstream host (Docker's certs.d)
    #[arg(long, value_name = "DIR")]
    proxy_certs: Option<PathBuf>,
    /// Keep blobs in a bucket: s3+http[s]://HOST[:PORT]/BUCKET[/PREFIX]; keys from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    /// Region for the bucket's signatures
    #[arg(long, value_name = "NAME", default_value = "us-east-1")]
    storage_region: String,
    /// Largest blob
    #[arg(long, value_name = "SIZE", default_value = "128g", value_parser = parse::size)]
    max_blob: u64,
    /// Most tags in a repository
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    max_tags: u64,
    /// Most repositories
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    max_repositories: u64,
    /// Most connections
    #[arg(long, value_name = "N", default_value_t = 8192)]
    max_connections: usize,
    /// Most connections from one address
    #[arg(long, value_name = "N", default_value_t = 4096)]
    max_connections_per_address: usize,
    /// Requests a second from one address (0: no limit)
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_requests: u32,
    /// Requests of _catalog a second from one address (0: no limit)
    #[arg(long, value_name = "N", default_value_t = 10)]
    max_catalogs: u32,
    /// Collect garbage this often (0: never)
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = parse::time)]
    gc_every: Duration,
    /// Keep what nobody refers to this long
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse::time)]
    gc_grace: Duration,
    /// Collect manifests without tag too
    #[arg(long)]
    gc_untagged: bool,
    /// Refuse DELETE
    #[arg(long)]
    no_delete: bool,
}

impl Flags {
    fn settings(self) -> Result<Settings> {
        let mut settings = Settings::new(self.place.root);
        if !self.listen.is_empty() {
            settings.listen = self.listen;
        }
        settings.tls = self.tls_cert.zip(self.tls_key);
        settings.htpasswd = self.htpasswd;
        settings.scheme = match self.auth {
            Auth::Token => Scheme::Token,
            Auth::Basic => Scheme::Basic,
        };
        settings.public_url = self.public_url;
        settings.audit = self.audit_log;
        settings.upstreams = self.proxy_upstream;
        settings.mirror.fresh = self.proxy_fresh;
        settings.mirror.stale = self.proxy_stale;
        settings.mirror.quota_bytes = self.proxy_quota;
        settings.upstream_certificates = self.proxy_certs;
        settings.bucket = self.storage.map(|url| bucket(&url, self.storage_region)).transpose()?;
        settings.limits.blob_bytes = self.max_blob;
        settings.limits.tags = self.max_tags;
        settings.limits.repositories = self.max_repositories;
        settings.limits.connections = self.max_connections;
        settings.limits.connections_per_address = self.max_connections_per_address;
        settings.limits.requests_per_second = self.max_requests;
        settings.limits.catalogs_per_second = self.max_catalogs;
        settings.collect_every = self.gc_every;
        settings.grace = self.gc_grace;
        settings.collect_untagged = self.gc_untagged;
        settings.is_delete_allowed = !self.no_delete;
        Ok(settings)
    }
}

fn bucket(url: &str, region: String) -> Result<settings::Bucket> {
    let wrong = |reason: &str| Error::Setting { name: "--storage".to_owned(), reason: reason.to_owned() };
    let url = url.strip_prefix("s3+").ok_or_else(|| wrong("expected s3+http[s]://HOST/BUCKET"))?;
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("expected s3+http[s]://HOST/BUCKET"))?;
    let (host, path) = rest.split_once('/').ok_or_else(|| wrong("the bucket is missing"))?;
    let (name, prefix) = path.trim_end_matches('/').split_once('/').unwrap_or((path.trim_end_matches('/'), ""));
    let key = |name: &str| std::env::var(name).map_err(|_| wrong(&format!("{name} is not set")));
    if host.is_empty() || name.is_empty() || !["http", "https"].contains(&scheme) {
        return Err(wrong("expected s3+http[s]://HOST/BUCKET"));
    }
    Ok(settings::Bucket {
        endpoint: format!("{scheme}://{host}"),
        name: name.to_owned(),
        prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
        region,
        access_key: key("AWS_ACCESS_KEY_ID")?,
        secret_key: key("AWS_SECRET_ACCESS_KEY")?,
    })
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Those of settings, files and sockets.
pub async fn run(flags: Flags) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("BERTH_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    let settings = flags.settings()?;
    let mut listeners = Vec::new();
    for address in &settings.listen {
        listeners.push(bind(*address).await?);
    }
    let registry = Registry::open(settings).await?;
    for listener in &listeners {
        let Ok(address) = listener.local_addr() else { continue };
        let is_open = registry.access.is_open()?;
        println!("listening on {address}");
        if is_open && !address.ip().is_loopback() {
            tracing::warn!(%address, "WHOEVER REACHES THIS ADDRESS MAY PUSH AND DELETE: add accounts with `berth registry user add`, or give --htpasswd");
        }
    }
    let (stop, stopped) = watch::channel(false);
    let failed = |error: std::io::Error| Error::Setting { name: "signals".to_owned(), reason: error.to_string() };
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    serve(registry, listeners, stopped).await
}

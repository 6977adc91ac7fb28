//! From global flags and environment to a client.

use crate::call::Failure;
use crate::config::Config;
use crate::grammar::Flags;
use berth_client::{Client, Host, Origin, TlsFiles};
use std::path::PathBuf;

/// A client of the daemon that `-H`, `BERTH_HOST` or `DOCKER_HOST` names, or of the default one.
///
/// # Errors
/// The address is none, or `-H` was given twice.
pub fn client(global: &Flags, config: &Config) -> Result<Client, Failure> {
    let tls = tls(global, config);
    let named: Vec<_> = global.list("host").collect();
    let (host, origin) = match named.as_slice() {
        [] => Host::from_environment(tls.is_some())?,
        [one] => (Host::parse(one, tls.is_some())?, Origin::Explicit),
        _ => return Err(Failure::new("specify only one -H")),
    };
    let tls = tls.filter(|_| matches!(host, Host::Tcp { .. }));
    let mut client = Client::new(host, origin, tls);
    client.headers = config.file().headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(client)
}

fn tls(global: &Flags, config: &Config) -> Option<TlsFiles> {
    let set = |name: &str| std::env::var(name).is_ok_and(|v| !v.is_empty());
    let verify = if global.given("tlsverify") { global.on("tlsverify") } else { set("DOCKER_TLS_VERIFY") };
    let named = ["tlscacert", "tlscert", "tlskey"].iter().any(|name| global.given(name));
    if !(verify || global.on("tls") || named || set("DOCKER_TLS")) {
        return None;
    }
    let directory = std::env::var_os("DOCKER_CERT_PATH").filter(|v| !v.is_empty()).map(PathBuf::from);
    let mut files = TlsFiles::in_directory(&directory.unwrap_or_else(|| config.directory()), verify);
    for (flag, file) in [("tlscacert", &mut files.ca), ("tlscert", &mut files.cert), ("tlskey", &mut files.key)] {
        if global.given(flag) {
            *file = PathBuf::from(global.text(flag));
        }
    }
    Some(files)
}

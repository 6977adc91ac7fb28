//! TLS for TCP sockets: the server's certificate, and with `--tlsverify` the clients'.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, anyhow};
use rustls::{
    RootCertStore, ServerConfig,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use super::value::Values;

/// Whether TCP sockets speak TLS.
pub fn is_wanted(values: &Values) -> bool {
    values.flag("tls") || values.flag("tlsverify")
}

/// Reads certificates and key.
///
/// # Errors
/// Names the option whose file cannot be used.
pub fn acceptor(values: &Values) -> Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (cert, key) = (path(values, "tlscert", "cert.pem"), path(values, "tlskey", "key.pem"));
    let chain = certificates("tlscert", &cert)?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| anyhow!("{error}"));
    let private = private.with_context(|| format!("cannot use the private key of tlskey {}", key.display()))?;
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match values.flag("tlsverify") {
        true => builder.with_client_cert_verifier(verifier(values, provider)?),
        false => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, private)
        .context("the certificate of tlscert and the key of tlskey do not fit")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn verifier(values: &Values, provider: Arc<rustls::crypto::CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>> {
    let path = path(values, "tlscacert", "ca.pem");
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tlscacert", &path)? {
        roots.add(certificate).with_context(|| format!("cannot use a certificate of tlscacert {}", path.display()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .with_context(|| format!("cannot verify clients by tlscacert {}", path.display()))
}

fn certificates(option: &str, path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>> {
    let cannot = || format!("cannot read certificates of {option} {}", path.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| anyhow!("{error}"))
        .with_context(cannot)?;
    if found.is_empty() { Err(anyhow!("the file has none")).with_context(cannot) } else { Ok(found) }
}

/// dockerd's own default places.
fn path(values: &Values, option: &str, file: &str) -> PathBuf {
    let directory = || match std::env::var_os("DOCKER_CERT_PATH") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".docker"),
    };
    values.text(option).map_or_else(|| directory().join(file), PathBuf::from)
}

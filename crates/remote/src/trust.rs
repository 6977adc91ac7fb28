//! Which certificates are believed and shown: the host's own bundle, and what lies in `certs.d/<host[:port]>/`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use crate::{Error, Policy, Result, origin::Origin};

/// The bundle of Debian, Alpine and others; then those of Fedora and SUSE.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];
/// How long files that were read are believed to be the same.
const FRESH: Duration = Duration::from_secs(10);

/// What one endpoint's certificates are held against, beside the host's and those of `certs.d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Whether certificates are checked at all.
    pub is_verified: bool,
    /// Files with further authorities.
    pub authorities: Vec<PathBuf>,
    /// Files with a certificate of this client and its key; they may be the same file.
    pub identities: Vec<(PathBuf, PathBuf)>,
}

impl Trust {
    /// Nothing beside the usual.
    pub fn plain(is_verified: bool) -> Self {
        Self { is_verified, authorities: Vec::new(), identities: Vec::new() }
    }

    /// Equal for connections that may stand for one another.
    pub fn key(&self) -> String {
        format!("{} {:?} {:?}", self.is_verified, self.authorities, self.identities)
    }
}

/// TLS configurations that were made a moment ago, by host and trust.
#[derive(Debug, Default)]
pub struct Trusts {
    made: Mutex<HashMap<String, (Arc<ClientConfig>, Instant)>>,
}

impl Trusts {
    /// The TLS configuration for a connection to `origin`.
    ///
    /// # Errors
    /// [`Error::Trust`] for files that cannot be read.
    pub fn config(&self, origin: &Origin, policy: &Policy, trust: &Trust) -> Result<Arc<ClientConfig>> {
        let key = format!("{} {} {:?}", origin.authority(), trust.key(), policy.certificates);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((config, _)) = made.get(&key).filter(|(_, at)| at.elapsed() < FRESH) {
            return Ok(Arc::clone(config));
        }
        let config = config(origin, &policy.certificates, trust)?;
        made.retain(|_, (_, at)| at.elapsed() < FRESH);
        made.insert(key, (Arc::clone(&config), Instant::now()));
        Ok(config)
    }
}

fn config(origin: &Origin, directories: &[PathBuf], trust: &Trust) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let invalid = |error: rustls::Error| Error::Trust { path: BUNDLES[0].into(), reason: error.to_string() };
    let (mut authorities, mut identities) = (trust.authorities.clone(), trust.identities.clone());
    for directory in directories {
        gather(&directory.join(origin.authority()), &mut authorities, &mut identities)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let builder = if trust.is_verified {
        builder.with_root_certificates(roots(&authorities)?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    };
    let config = match identities.first() {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let failed = |path: &Path, reason: String| Error::Trust { path: path.into(), reason };
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(|certificates| certificates.collect::<std::result::Result<Vec<_>, _>>())
                .map_err(|error| failed(certificate, error.to_string()))?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| failed(certificate, error.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

/// The files of a directory of `certs.d`: `*.crt` are authorities, `*.cert` with `*.key` this client's own.
fn gather(directory: &Path, authorities: &mut Vec<PathBuf>, identities: &mut Vec<(PathBuf, PathBuf)>) -> Result<()> {
    // Most registries have none.
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::Trust { path: directory.into(), reason: error.to_string() })?;
        paths.push(entry.path());
    }
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => authorities.push(path),
            Some("cert") => {
                let key = path.with_extension("key");
                if !key.exists() {
                    let reason = format!("missing key {} for client certificate", key.display());
                    return Err(Error::Trust { path, reason });
                }
                identities.push((path, key));
            }
            _ => {}
        }
    }
    Ok(())
}

fn roots(authorities: &[PathBuf]) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    if let Some(bundle) = BUNDLES.iter().map(Path::new).find(|bundle| bundle.exists()) {
        add(&mut store, bundle)?;
    }
    authorities.iter().try_for_each(|path| add(&mut store, path))?;
    Ok(store)
}
fn add(store: &mut RootCertStore, path: &Path) -> Result<()> {
    let failed = |error: rustls_pki_types::pem::Error| Error::Trust { path: path.into(), reason: error.to_string() };
    for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
        // Bundles hold old certificates that no chain needs any more.
        if let Err(error) = store.add(certificate.map_err(failed)?) {
            tracing::debug!(%error, path = %path.display(), "a certificate is left out");
        }
    }
    Ok(())
}

/// Takes any certificate: for registries that the administrator declared insecure.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

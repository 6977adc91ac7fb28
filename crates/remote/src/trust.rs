//! Which certificates are believed: the host's own bundle, and what lies in `certs.d/<host[:port]>/`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use crate::{Error, Result, origin::Origin};

/// The bundle of Debian, Alpine and others; then those of Fedora and SUSE.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The TLS configuration for a connection to `origin`.
pub fn config(origin: &Origin, directories: &[PathBuf], is_verified: bool) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let invalid = |error: rustls::Error| Error::Trust { path: BUNDLES[0].into(), reason: error.to_string() };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let config = if is_verified {
        builder.with_root_certificates(roots(origin, directories)?).with_no_client_auth()
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
    };
    Ok(Arc::new(config))
}

fn roots(origin: &Origin, directories: &[PathBuf]) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    if let Some(bundle) = BUNDLES.iter().map(Path::new).find(|bundle| bundle.exists()) {
        add(&mut store, bundle)?;
    }
    for directory in directories {
        let directory = directory.join(origin.authority());
        // Most registries have none.
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path =
                entry.map_err(|error| Error::Trust { path: directory.clone(), reason: error.to_string() })?.path();
            if path.extension().is_some_and(|extension| extension == "crt") {
                add(&mut store, &path)?;
            }
        }
    }
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

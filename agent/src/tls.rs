//! Whom the agent trusts: the certificates of a file, else the system's.

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the CA file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not readable, or not PEM.
    #[error("failed to read the CA file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// A certificate in it is unusable.
    #[error("failed to use a certificate in the CA file {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// It holds no certificate.
    #[error("the CA file {} holds no certificate", .0.display())]
    Empty(PathBuf),
}

/// Chooses ring for the whole process; calling it again changes nothing.
pub fn install_provider() {
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider was installed before");
    }
}

/// Trusts just the certificates in `ca`. `None` without a file: the system's roots.
pub fn client_config(ca: Option<&Path>) -> Result<Option<Arc<ClientConfig>>, Error> {
    ca.map(|path| roots(path).map(trusting)).transpose()
}

/// Trusts nobody: for plain HTTP, which must not fail because a machine has no root certificates.
pub fn no_trust() -> Arc<ClientConfig> {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    Arc::new(
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let read = |source| Error::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
        let certificate = certificate.map_err(read)?;
        roots.add(certificate).map_err(|source| Error::Certificate {
            path: path.to_path_buf(),
            source,
        })?;
    }
    if roots.is_empty() {
        return Err(Error::Empty(path.to_path_buf()));
    }
    Ok(roots)
}

//! TLS of the secure listener: which certificate is presented, and how it is renewed without a restart.
//!
//! Either the operator's own certificate files, or a self-made authority and certificate (`self_made`).
//! Deliberately not here: client certificates; agents and people prove themselves with keys and tokens.

mod files;
mod self_made;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tripline_protocol::Timestamp;

/// Where the certificate of the secure listener comes from.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// `http.tls_cert`: a PEM file with the certificate and its intermediates, leaf first.
    pub cert: Option<PathBuf>,
    /// `http.tls_key`: a PEM file with its private key; needed exactly when `cert` is given.
    pub key: Option<PathBuf>,
    /// `http.tls_names`: host names and IP addresses in the self-made certificate, besides `localhost`,
    /// `127.0.0.1` and `::1`, which it always has.
    pub names: Vec<String>,
    /// Where the self-made files are kept: `ca.pem`, `ca.key`, `server.pem`, `server.key`, `server.json`.
    pub dir: PathBuf,
}

/// Why there is no certificate to present.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the two files is configured without the other.
    #[error("use http.{given}: http.{missing} is needed with it")]
    HalfConfigured {
        /// The key that is there.
        given: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{action} {path}")]
    File {
        /// `read`, `write`, …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no PEM with what is expected in it.
    #[error("read {path}: expected {expected} in PEM")]
    NotPem {
        /// Which file.
        path: PathBuf,
        /// `a certificate`, `a private key`.
        expected: &'static str,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key do not fit each other, or cannot be used.
    #[error("use the certificate {cert} with the key {key}")]
    Unusable {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A name of `http.tls_names` that no certificate can carry, or a key that rcgen cannot use.
    #[error("make a certificate for {names:?}")]
    Make {
        /// The names it was to have.
        names: Vec<String>,
        /// Why.
        source: rcgen::Error,
    },
    /// The authority's key is gone, so it can sign nothing any more.
    #[error(
        "sign with the authority of {ca}: its key {key} is missing; restore it, or remove both to make a new one"
    )]
    AuthorityKeyMissing {
        /// Its certificate.
        ca: PathBuf,
        /// Where its key should be.
        key: PathBuf,
    },
    /// TLS itself cannot be set up.
    #[error("set up TLS")]
    Rustls(#[source] rustls::Error),
}

/// The certificate that is presented now; it can be exchanged while connections come and go.
#[derive(Debug)]
pub struct Certificates {
    options: TlsOptions,
    current: ArcSwap<CertifiedKey>,
}

impl Certificates {
    /// Reads the certificate files, or makes them where they are self-made and due.
    pub fn load(options: TlsOptions, now: Timestamp) -> Result<Arc<Self>, Error> {
        let current = ArcSwap::from_pointee(load(&options, now)?);
        Ok(Arc::new(Self { options, current }))
    }

    /// Does the same again, so that a renewed certificate is presented to new connections. After an error
    /// the present one stays.
    pub fn renew(&self, now: Timestamp) -> Result<(), Error> {
        self.current.store(Arc::new(load(&self.options, now)?));
        Ok(())
    }

    /// The settings of a listener that presents it.
    pub fn server_config(self: Arc<Self>) -> Result<rustls::ServerConfig, Error> {
        Ok(
            rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(Error::Rustls)?
                .with_no_client_auth()
                .with_cert_resolver(self),
        )
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn load(options: &TlsOptions, now: Timestamp) -> Result<CertifiedKey, Error> {
    let provider = ring::default_provider();
    match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => read_pair(cert, key, &provider),
        (Some(_), None) => Err(Error::HalfConfigured {
            given: "tls_cert",
            missing: "tls_key",
        }),
        (None, Some(_)) => Err(Error::HalfConfigured {
            given: "tls_key",
            missing: "tls_cert",
        }),
        (None, None) => self_made::load(&options.dir, &options.names, now, &provider),
    }
}

/// Reads a chain and its key; they must fit each other.
fn read_pair(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let chain = CertificateDer::pem_slice_iter(&files::read(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| match chain.is_empty() {
            true => Err(rustls_pki_types::pem::Error::NoItemsFound),
            false => Ok(chain),
        })
        .map_err(|source| Error::NotPem {
            path: cert.to_owned(),
            expected: "a certificate",
            source,
        })?;
    let private = PrivateKeyDer::from_pem_slice(&files::read(key)?).map_err(|source| Error::NotPem {
        path: key.to_owned(),
        expected: "a private key",
        source,
    })?;
    CertifiedKey::from_der(chain, private, provider).map_err(|source| Error::Unusable {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;

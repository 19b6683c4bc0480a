//! Whom the client trusts: the certificates it was given, else the system's.
//!
//! The cryptography is named here and not taken from a default of the whole process, so that a program needs no
//! line for it and may use another for itself.

use crate::error::{Error, Result};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;
use std::sync::Arc;

/// Trusts just the certificates in `pem`.
pub(crate) fn trusting(pem: &[u8]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad_ca(&error).because(error))?;
        roots
            .add(certificate)
            .map_err(|error| bad_ca(&error).because(error))?;
    }
    if roots.is_empty() {
        return Err(bad_ca(&"there is no certificate in it"));
    }
    Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
}

/// Trusts whom the system trusts.
pub(crate) fn trusting_the_system() -> Result<ClientConfig> {
    let builder = builder()?.with_platform_verifier().map_err(no_tls)?;
    Ok(builder.with_no_client_auth())
}

/// Trusts nobody: for plain HTTP, which must not fail because a machine has no root certificates.
pub(crate) fn trusting_nobody() -> Result<ClientConfig> {
    Ok(builder()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(no_tls)
}

fn no_tls(error: rustls::Error) -> Error {
    let text = format!("TLS cannot be set up: {error}");
    Error::server("tls", text)
        .because(error)
        .advise("name the server's authority with Builder::ca_file")
}

fn bad_ca(why: &dyn std::fmt::Display) -> Error {
    Error::unsupported("bad_ca", format!("the CA is no certificate in PEM form: {why}"))
        .advise("give the file with the server's authority, which is tls/ca.pem in the data directory if it made its own")
}

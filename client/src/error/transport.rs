//! Why no answer came, from what the HTTP library says.

use super::Error;
use std::error::Error as StdError;

/// No whole answer came from `server`.
pub(crate) fn unreachable(server: &str, error: reqwest::Error) -> Error {
    if let Some(fault) = certificate_fault(&error) {
        let text = format!("the certificate of {server} is not trusted: {fault}");
        return Error::server("untrusted_certificate", text).because(error);
    }
    let (code, text) = if error.is_timeout() {
        ("no_answer", format!("{server} gave no answer in time"))
    } else if error.is_connect() {
        ("unreachable", format!("cannot reach {server}: {}", root(&error)))
    } else {
        (
            "unreachable",
            format!("the connection to {server} broke off: {}", root(&error)),
        )
    };
    let unsent = error.is_connect() || error.is_builder();
    let error = Error::server(code, text).because(error);
    match unsent {
        true => error.unsent(),
        false => error,
    }
}

/// The last cause, which says what happened.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// An `io::Error` hides the error it was made of from `source`, so it is asked for it.
fn certificate_fault(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(found) = cause {
        let inner = found
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        let tls = match inner {
            Some(inner) => inner.downcast_ref::<rustls::Error>(),
            None => found.downcast_ref::<rustls::Error>(),
        };
        if let Some(rustls::Error::InvalidCertificate(fault)) = tls {
            return Some(fault.to_string());
        }
        cause = match inner {
            Some(inner) => Some(inner),
            None => found.source(),
        };
    }
    None
}

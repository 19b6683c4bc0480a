//! `lc-svc-sig`: HMAC-SHA256 of the very bytes of a body, in lower-case hexadecimal.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt::Write;
use subtle::ConstantTimeEq;

/// The signature of a body under a shared secret.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let digest = keyed(secret).map(|mac| mac.chain_update(body).finalize().into_bytes());
    let mut text = String::with_capacity(64);
    for byte in digest.into_iter().flatten() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether `given` is the signature of `body`, in a time that tells nothing of where it differs. Compared as text: upper-case
/// hexadecimal is refused, as the reference implementation does.
pub fn verify(secret: &str, body: &[u8], given: &[u8]) -> bool {
    let expected = sign(secret, body);
    !expected.is_empty() && expected.as_bytes().ct_eq(given).into()
}

/// An HMAC takes keys of any length.
fn keyed(secret: &str) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(secret.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard_and_of_these_very_bytes() {
        // Computed with another implementation of HMAC-SHA256.
        let signature = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        let body = b"The quick brown fox jumps over the lazy dog";
        assert_eq!(sign("key", body), signature);
        assert!(verify("key", body, signature.as_bytes()));
        assert!(!verify("key", body, signature.to_uppercase().as_bytes()));
        assert!(!verify("Key", body, signature.as_bytes()));
        assert!(!verify(
            "key",
            b"The quick brown fox jumps over the lazy dog ",
            signature.as_bytes()
        ));
        assert!(!verify("key", body, b""));
        assert!(!verify("key", body, &signature.as_bytes()[..63]));
    }
}

//! `[littlebrother]` while the server runs: settings for the actors, the secret, and reading them again.
//!
//! Deliberately not here: HTTP (`crate::http`), and what becomes of a client's message (`tripline_actors`).

mod reload;
mod settings;

pub use reload::{ConfigWatch, Running, SettingsTarget};
pub use settings::{mappings, settings, users, zone};

use crate::config::Littlebrother;
use arc_swap::ArcSwapOption;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tripline_protocol::Org;

/// What the edge knows of the dialect and the actors do not.
#[derive(Debug)]
pub struct Dialect {
    org: Org,
    secret_sha256: Option<[u8; 32]>,
    refused: ArcSwapOption<String>,
}

impl Dialect {
    /// With `littlebrother.org` and `littlebrother.secret`; without a secret clients are not served.
    pub fn new(config: &Littlebrother) -> Self {
        let secret = config.secret.as_ref();
        Self {
            org: config.org.clone(),
            secret_sha256: secret.map(|secret| digest(secret.expose())),
            refused: ArcSwapOption::empty(),
        }
    }

    /// The org of clients, and of agents that watch processes.
    pub fn org(&self) -> &Org {
        &self.org
    }

    /// Whether clients are served.
    pub fn is_on(&self) -> bool {
        self.secret_sha256.is_some()
    }

    /// Whether this is the secret. Takes as long for a wrong one as for the right one.
    pub fn admits(&self, secret: &str) -> bool {
        self.secret_sha256
            .as_ref()
            .is_some_and(|known| digest(secret).ct_eq(known).into())
    }

    /// Why the configuration file in its present form is not in force; `None` when it is.
    pub fn refused(&self) -> Option<String> {
        self.refused.load_full().map(|why| String::clone(&why))
    }

    /// Remembers it.
    pub fn set_refused(&self, why: Option<String>) {
        self.refused.store(why.map(Arc::new));
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn dialect(secret: Option<Secret>) -> Dialect {
        Dialect::new(&Littlebrother {
            secret,
            ..Littlebrother::default()
        })
    }

    #[test]
    fn only_the_secret_is_admitted() {
        let dialect = dialect(Some(Secret::new("sesame")));
        assert!(dialect.is_on() && dialect.admits("sesame"));
        for wrong in ["", "sesam", "sesame ", "Sesame"] {
            assert!(!dialect.admits(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn without_a_secret_nothing_is() {
        let dialect = dialect(None);
        assert!(!dialect.is_on() && !dialect.admits(""));
    }
}
